//! The processes of the running guest.

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Short name, at most 15 bytes (`comm`).
    pub name: String,
    /// Its program's path, when it may be seen.
    pub exe: Option<String>,
    /// Its arguments.
    pub argv: Vec<String>,
    /// Start, in seconds since 1970.
    pub started: u64,
}

/// Returns every process; none where /proc is not mounted.
pub fn all() -> Vec<Process> {
    let Ok(mut system) = sysinfo::System::new() else { return Vec::new() };
    let kind = sysinfo::ProcessRefreshKind::nothing()
        .with_cmd(sysinfo::UpdateKind::Always)
        .with_exe(sysinfo::UpdateKind::Always)
        .without_tasks();
    system.refresh_processes_specifics(sysinfo::ProcessesToUpdate::All, true, kind);
    let mut all: Vec<Process> = system.processes().values().map(of).collect();
    all.sort_by_key(|process| process.pid);
    all
}

fn of(process: &sysinfo::Process) -> Process {
    Process {
        pid: process.pid().as_u32(),
        name: process.name().to_string_lossy().into_owned(),
        exe: process.exe().map(|path| path.to_string_lossy().into_owned()),
        argv: process.cmd().iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
        started: process.start_time(),
    }
}
