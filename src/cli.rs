//! The command line: options only, and which file runs each command.

mod agent;
mod change;
mod check_xentools;
mod diagnosis;
mod doctor;
mod explain;
mod fix_image;
mod mending;
mod questions;
mod reset_network;
mod scan_ifaces;
mod set_password;
pub mod trouble;
mod undo;
mod verification;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use clap::{Args, Parser, Subcommand};

use crate::disk::{Disk, Fate};
use crate::plan::Interrupt;
use crate::report::{Exit, Format, Report, junit, markdown, prometheus};
use crate::target::Target;
use crate::ui::{self, Color, Ui, Volume};
use crate::xenstore::{self, Source};

const EXIT_CODES: &str = "\
Exit codes:
  0    healthy; or the change was made and verified, or there was none to make
  1    problems were found (with --strict: or warnings); or --dry-run shows
       pending changes
  2    usage error
  3    could not be done or judged: no such root or disk, every check skipped
  4    a change failed or did not verify; all of it was taken back
  5    a change failed and could not be taken back whole: the message says what
       is left
  6    declined at the prompt, or nobody was there to ask
  130  interrupted; what had been changed was taken back
With --format nagios: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

Looking changes nothing and works without root; what only root can see is then
named as not looked at.";

/// Find out why a XenServer guest's nova-agent does not do its work
#[derive(Debug, Parser)]
#[command(name = "novactl", version, max_term_width = 80, after_long_help = EXIT_CODES)]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Look at the system under DIR instead of the running one
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Look at the system on a disk: a device, or a raw, qcow2, VHD, VHDX or VMDK
    /// file
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "root")]
    pub disk: Option<PathBuf>,
    /// The disk, once it is open.
    #[arg(skip)]
    opened: OnceLock<Arc<Disk>>,
    /// XenStore: a device, a unix socket or a JSON dump [default: found by itself]
    #[arg(long, global = true, value_name = "PATH", env = "XENSTORED_PATH", hide_env = true)]
    pub xenstore: Option<PathBuf>,
    /// How the result is written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Say more; twice: what is read and run as well
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only errors and what was asked for; of a diagnosis the verdict
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find what is wrong, say what mends it and which recovery route applies
    Doctor(doctor::Doctor),
    /// Check the XenServer Tools, link by link from the hypervisor to the host
    CheckXentools(check_xentools::CheckXentools),
    /// Show every interface: what it is, what the host says of it, IPv6
    ScanIfaces(scan_ifaces::ScanIfaces),
    /// Configure the NICs as the host says
    ResetNetwork(reset_network::ResetNetworkArgs),
    /// Make a server, disk or image ready to be captured as an image
    FixImage(fix_image::FixImage),
    /// Set a password: of root, or of another user
    SetPassword(set_password::SetPasswordArgs),
    /// Say what a check means, why it matters and how to mend it by hand
    Explain(explain::Explain),
    /// Be the agent: serve the host, or carry out one command of its
    Agent(agent::AgentArgs),
    /// List what was changed, take a change back, or keep one
    Undo(undo::Undo),
}

impl Cli {
    /// Starts logging: to standard error, or where the agent is told to.
    ///
    /// # Errors
    /// The agent's log cannot be opened.
    pub fn start_log(&self) -> anyhow::Result<()> {
        if let Command::Agent(agent) = &self.command
            && let Some(run) = agent.as_service()
        {
            return run.start_log(self.global.verbose);
        }
        let level = match self.global.verbose {
            _ if self.global.quiet => tracing::Level::ERROR,
            0 | 1 => tracing::Level::WARN,
            2 => tracing::Level::DEBUG,
            _ => tracing::Level::TRACE,
        };
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).without_time().init();
        Ok(())
    }
}

/// Returns the words of the command line, without the `--help` of `help`: it asks for what it gets.
pub fn words(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = given.into_iter().collect();
    if words.get(1).is_some_and(|verb| verb == "help") {
        words.retain(|word| word != "--help" && word != "-h");
    }
    words
}

/// What every system has one of: a directory that has none is no root, most often a mount point without its disk.
const SYSTEM: [&str; 4] = ["etc", "usr", "bin", "sbin"];

impl Global {
    /// Returns how much is to be said.
    pub fn volume(&self) -> Volume {
        match (self.quiet, self.verbose) {
            (true, _) => Volume::Quiet,
            (false, 0) => Volume::Normal,
            (false, _) => Volume::Verbose,
        }
    }

    /// Returns what is to be examined.
    ///
    /// # Errors
    /// The root is no directory or cannot be opened.
    pub fn target(&self) -> anyhow::Result<Target> {
        let source = self.source();
        match (&self.disk, &self.root) {
            (Some(disk), _) => Ok(Target::on_disk(self.opened(disk)?, source)),
            (None, Some(root)) => {
                let target = Target::offline(root, source).map_err(|e| trouble::no_root(root, &e))?;
                // a link that leads nowhere is something to look at
                let is_there = |name: &&str| !matches!(target.root.lstat_opt(name), Ok(None));
                if SYSTEM.iter().any(is_there) {
                    return Ok(target);
                }
                Err(trouble::no_system(root))
            }
            (None, None) => Target::live(source),
        }
    }

    /// Returns the options with which another command looks at the same.
    fn options(&self) -> Vec<String> {
        let named = [("--root", &self.root), ("--disk", &self.disk), ("--xenstore", &self.xenstore)];
        let given = named.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?)));
        given.flat_map(|(option, path)| [option.to_owned(), path.display().to_string()]).collect()
    }

    /// Returns where XenStore is.
    fn source(&self) -> Source {
        self.xenstore.clone().map_or(Source::Auto, Source::Path)
    }

    /// A disk is opened once: what is mounted cannot be opened again.
    fn opened(&self, path: &Path) -> anyhow::Result<Arc<Disk>> {
        if let Some(disk) = self.opened.get() {
            return Ok(Arc::clone(disk));
        }
        let disk = Disk::open(path, &|text| ui::progress(self.volume(), text)).map_err(trouble::no_disk)?;
        // which of two systems is looked at has to be known before it is changed
        let has_rival = disk.facts().volumes.iter().any(|volume| volume.is_rival);
        if self.volume() == Volume::Verbose || has_rival {
            for volume in &disk.facts().volumes {
                ui::progress(self.volume(), &volume.words());
            }
        }
        Ok(Arc::clone(self.opened.get_or_init(|| Arc::new(disk))))
    }

    /// Puts the disk down, before the result is told. What did not come to a good end is not written into an image.
    fn put_down(&self, exit: Exit) -> anyhow::Result<()> {
        let Some(disk) = self.opened.get() else { return Ok(()) };
        let fate = if matches!(exit, Exit::Ok | Exit::Problems) { Fate::Keep } else { Fate::Discard };
        let interrupt = if disk.is_copy() { Interrupt::on_signals()? } else { Interrupt::default() };
        disk.finish(fate, &|| interrupt.is_set()).map_err(|e| trouble::not_put_down(e, interrupt.is_set()))
    }
}

impl Command {
    /// Whether what it reports is a diagnosis, which all formats can hold.
    fn is_diagnosis(&self) -> bool {
        match self {
            Self::Doctor(doctor) => doctor.is_diagnosis(),
            Self::CheckXentools(_) => true,
            _ => false,
        }
    }

    /// Whether it looks into XenStore; the service waits for one that is not there yet.
    fn asks_the_store(&self) -> bool {
        match self {
            Self::Doctor(_)
            | Self::CheckXentools(_)
            | Self::ScanIfaces(_)
            | Self::ResetNetwork(_)
            | Self::FixImage(_) => true,
            Self::Agent(agent) => agent.as_service().is_none(),
            Self::SetPassword(_) | Self::Explain(_) | Self::Undo(_) => false,
        }
    }
}

/// Runs a command and returns its exit code.
///
/// # Errors
/// It could not be done: exit code 3.
pub fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    // before anything is done: a change must not fail because its report cannot be written
    if cli.global.format.is_of_diagnosis() && !cli.command.is_diagnosis() {
        return Err(trouble::no_such_format(cli.global.format));
    }
    if let Some(path) = cli.global.xenstore.as_deref().filter(|_| cli.command.asks_the_store()) {
        // a name that was mistyped says nothing of the guest
        xenstore::expect(path).map_err(|e| trouble::no_such_store(&e))?;
    }
    match &cli.command {
        Command::Doctor(doctor) => doctor.run(&cli.global),
        Command::CheckXentools(check_xentools) => check_xentools.run(&cli.global),
        Command::ScanIfaces(scan) => scan.run(&cli.global),
        Command::ResetNetwork(reset) => reset.run(&cli.global),
        Command::FixImage(fix_image) => fix_image.run(&cli.global),
        Command::SetPassword(set) => set.run(&cli.global),
        Command::Explain(explain) => explain.run(&cli.global),
        Command::Agent(agent) => agent.run(&cli.global),
        Command::Undo(undo) => undo.run(&cli.global),
    }
}

fn say(global: &Global, report: &impl Report) -> anyhow::Result<ExitCode> {
    global.put_down(report.exit())?;
    let mut ui = Ui::stdout(global.color);
    let (written, exit) = match global.format {
        Format::Table if global.quiet => (report.brief(&mut ui), report.exit().into()),
        Format::Table => (report.human(&mut ui), report.exit().into()),
        Format::Json => (ui.document(&serde_json::to_string_pretty(report)?), report.exit().into()),
        Format::Nagios => {
            let line = report.nagios();
            (ui.line(&line.to_string()), ExitCode::from(line.state as u8))
        }
        Format::Prometheus | Format::Junit | Format::Markdown => {
            let diagnosed = report.diagnosed().ok_or_else(|| trouble::no_such_format(global.format))?;
            let text = match global.format {
                Format::Prometheus => prometheus::text(&diagnosed),
                Format::Junit => junit::text(&diagnosed),
                _ => markdown::text(&diagnosed),
            };
            (text.lines().try_for_each(|line| ui.line(line)), report.exit().into())
        }
    };
    match written.and_then(|()| ui.flush()) {
        Ok(()) => Ok(exit),
        // The reader has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(e) => Err(anyhow::Error::from(e).context("writing the result")),
    }
}
