//! `doctor --bundle FILE`: what a helper far away needs to know, as an archive of typed facts. What is in it is decided
//! in `facts`.

mod facts;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};

use crate::cli::Global;
use crate::cli::change::Consent;
use crate::cli::diagnosis::Diagnosis;
use crate::cli::trouble::{self, Trouble};
use crate::report::Exit;
use crate::root::{FileNode, Node, Root};
use crate::target::Target;
use crate::ui::{self, Answer, Ui};

use facts::{AgentFacts, FindingFacts, LIST_MAX, Network, System, ToolFacts, services};

/// A file of the archive.
struct Part {
    name: &'static str,
    about: &'static str,
    body: Vec<u8>,
}

/// A bundle that can be written: the place is free, or may be overwritten.
pub(super) struct Bundle {
    directory: Root,
    path: PathBuf,
    name: String,
}

impl Bundle {
    /// Returns the bundle at a path, before anything is looked at.
    ///
    /// # Errors
    /// Something is there already, or its directory does not exist.
    pub(super) fn at(path: &Path, consent: &Consent) -> Result<Self> {
        let name = path.file_name().and_then(OsStr::to_str).filter(|name| !name.is_empty());
        let name = name.with_context(|| format!("writing the bundle: {} names no file", path.display()))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = Root::open(parent.unwrap_or_else(|| Path::new("."))).map_err(|error| {
            let text = format!("writing the bundle {}: {}", path.display(), error.root_cause());
            Trouble::new(text, "its directory has to be there", Exit::CannotJudge)
        })?;
        if directory.lstat_opt(name)?.is_some() && !consent.yes {
            let hint = "name another file; --yes overwrites this one";
            let text = format!("writing the bundle: {} exists", path.display());
            return Err(Trouble::new(text, hint, Exit::CannotJudge).into());
        }
        Ok(Self { directory, path: path.to_owned(), name: name.to_owned() })
    }

    /// Shows what is in it, asks where there is somebody to ask, and writes it.
    ///
    /// # Errors
    /// It was declined, or cannot be written.
    pub(super) fn write(
        &self,
        global: &Global,
        consent: &Consent,
        target: &Target,
        diagnosis: &Diagnosis,
    ) -> Result<()> {
        let parts = parts(target, diagnosis)?;
        preview(&mut Ui::stderr(global.color), &self.path, &parts)?;
        if !consent.yes && ui::confirm("Write it?")? == Answer::No {
            return Err(trouble::declined("the bundle was not written"));
        }
        let file = FileNode {
            body: archive(&parts)?,
            mode: 0o600,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            xattrs: Vec::new(),
            mtime: None,
        };
        self.directory.put(&self.name, &Node::File(file))?;
        Ok(())
    }
}

fn preview(screen: &mut Ui, path: &Path, parts: &[Part]) -> std::io::Result<()> {
    screen.line(&format!("{} holds", path.display()))?;
    for part in parts {
        let head = format!("  {:<16} {:>6} bytes  ", part.name, part.body.len());
        screen.paragraph(&head, head.len(), part.about)?;
    }
    screen.paragraph(
        "",
        0,
        "and no file's content, no log line, no password or key, no host name, no user's data",
    )?;
    screen.flush()
}

fn parts(target: &Target, diagnosis: &Diagnosis) -> Result<Vec<Part>> {
    let json = |name, about, facts: &dyn erased::Facts| -> Result<Part> {
        Ok(Part { name, about, body: facts.json().with_context(|| format!("writing {name}"))? })
    };
    let system = System::of(target, diagnosis);
    let agents: Vec<_> = target.agents().all.iter().take(LIST_MAX).map(AgentFacts::of).collect();
    let tools: Vec<_> = target.tools().all.iter().take(LIST_MAX).map(ToolFacts::of).collect();
    let services = services(target);
    let network = Network::of(target);
    let names = network.names();
    let findings: Vec<_> = diagnosis.findings.iter().map(|f| FindingFacts::of(f, &names)).collect();
    let mut parts = vec![
        json("system.json", "distribution, release, init system, verdict and counts", &system)?,
        json("agents.json", "agents: kind, version, program, package, services", &agents)?,
        json("tools.json", "XenServer Tools: daemon, version, services", &tools)?,
        json(
            "services.json",
            "services of agent, tools, network, login: whether they start at boot",
            &services,
        )?,
        json("network.json", "interfaces; keys and labels of the host's records", &network)?,
        json("findings.json", "each check: how it came out, and where that was seen", &findings)?,
    ];
    let mut readme = String::from("A support bundle of novactl doctor --bundle.\n\n");
    for part in &parts {
        readme += &format!("{:<16} {}\n", part.name, part.about);
    }
    readme += "\nWhat a finding means: novactl explain ID.\n";
    let about = "what these files are";
    parts.insert(0, Part { name: "README.txt", about, body: readme.into_bytes() });
    Ok(parts)
}

/// A list of facts of different types.
mod erased {
    use serde::Serialize;

    pub(super) trait Facts {
        fn json(&self) -> serde_json::Result<Vec<u8>>;
    }

    impl<T: Serialize> Facts for T {
        fn json(&self) -> serde_json::Result<Vec<u8>> {
            serde_json::to_vec_pretty(self)
        }
    }
}

/// Packs the files: no owner, no name of this machine, no time but that of 1970.
fn archive(parts: &[Part]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzBuilder::new().write(Vec::new(), Compression::default()));
    for part in parts {
        let mut header = tar::Header::new_ustar();
        header.set_size(part.body.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, format!("novactl-bundle/{}", part.name), part.body.as_slice())?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    Ok(gzip.finish()?)
}
