//! The Python that would run the agent, and whether the modules that the agent needs are in its reach.
//!
//! Nothing is run: the interpreter is looked up as the kernel, `env` and the init system would, its links are
//! followed inside the root, and its module directories follow from its version and place. A Python whose version no
//! name and no directory tells (a shim, a wrapper script) is not judged.

use anyhow::Result;

use super::agents::{Agent, exec};
use super::init::{Init, Service};
use crate::root::{Kind, Root};

/// PATH of a script that `service` or upstart starts, when it sets none: sysvinit's `PATH_DEFAULT` and upstart's
/// `PATH` find the same programs in all but order.
const SCRIPT_PATH: &str = "/sbin:/usr/sbin:/bin:/usr/bin";

/// The most `.pth` files, lines of one, and directories that are followed.
const PTH_MAX: usize = 64;

/// The most that is read of an init script for its PATH, in bytes.
const SCRIPT_MAX: u64 = 64 << 10;

/// The interpreter of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// What is asked for: `/usr/bin/env python3`, `/usr/bin/python3.6`.
    pub asked: String,
    /// Where it is asked for: the program, or the unit's line.
    pub source: String,
    /// Where it was looked for: directories of PATH, or the path itself.
    pub searched: Vec<String>,
    /// Where it was found.
    pub path: Option<String>,
    /// The file behind it, links followed.
    pub file: Option<String>,
    /// Major and minor version, when a name or a directory tells.
    pub version: Option<(u32, u32)>,
    /// Directories that `PYTHONPATH` of the service adds.
    pub extra: Vec<String>,
}

/// A module that the interpreter would not import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// In none of its directories.
    Absent(String),
    /// There, but its compiled part is for other Pythons; the module and the file that is there.
    Foreign(String, String),
}

impl Interpreter {
    /// Returns the interpreter with which a service starts an agent; `None` when the agent is not Python, or neither
    /// the service nor the program names an interpreter.
    ///
    /// # Errors
    /// A link of the interpreter forms a loop, or a directory cannot be looked at.
    pub fn of(root: &Root, agent: &Agent) -> Result<Option<Self>> {
        let Some(python) = &agent.python else { return Ok(None) };
        let unit = agent.service().and_then(|service| service.unit.as_ref());
        let line = unit.and_then(exec::start_of);
        let by_unit =
            line.and_then(|setting| Some((asked_by(&exec::words(&setting.value))?, &setting.source)));
        let (asked, source) = match (by_unit, &python.interpreter) {
            (Some((asked, source)), _) => (asked, source.clone()),
            (None, Some(line)) => {
                (line.split_whitespace().map(str::to_owned).collect(), agent.program.clone())
            }
            (None, None) => return Ok(None),
        };
        let Some(name) = interpreter_in(&asked) else { return Ok(None) };
        let searched = if name.starts_with('/') {
            vec![name.to_owned()]
        } else {
            path_of(root, agent.service()).split(':').map(|dir| format!("{dir}/{name}")).collect()
        };
        let mut path = None;
        for place in &searched {
            let stat = root.stat_opt(place)?;
            if stat.is_some_and(|stat| stat.kind == Kind::File && stat.mode & 0o111 != 0) {
                path = Some(place.trim_start_matches('/').to_owned());
                break;
            }
        }
        let file = path.as_ref().map(|path| root.resolve(path)).transpose()?.flatten();
        let version = file.as_ref().and_then(|file| version_of(root, file));
        let extra = unit.and_then(|unit| exec::variable(unit, "PYTHONPATH"));
        let extra = extra.map(|(dirs, _)| dirs.split(':').map(str::to_owned).collect()).unwrap_or_default();
        Ok(Some(Self { asked: asked.join(" "), source, searched, path, file, version, extra }))
    }

    /// Returns those of `modules` that it would not import; `None` when its version is not known.
    ///
    /// # Errors
    /// A module directory cannot be read.
    pub fn missing(&self, root: &Root, modules: &[String]) -> Result<Option<Vec<Missing>>> {
        let (Some(version), Some(path), Some(file)) = (self.version, &self.path, &self.file) else {
            return Ok(None);
        };
        let mut dirs = self.extra.clone();
        dirs.extend(module_dirs(root, path, file, version)?);
        let mut missing = Vec::new();
        for module in modules {
            if !dirs.iter().any(|dir| has(root, dir, module)) {
                missing.push(Missing::Absent(module.clone()));
            } else if module == "cryptography"
                && let Some(file) = foreign_part(root, &dirs, "_cffi_backend", version)?
            {
                missing.push(Missing::Foreign(module.clone(), file));
            }
        }
        Ok(Some(missing))
    }
}

/// Returns the words of a command line that name an interpreter, when it does not start the program itself.
fn asked_by(words: &[String]) -> Option<Vec<String>> {
    let name = words.first()?.rsplit('/').next()?;
    match name {
        "env" => Some(
            words.iter().take(1 + words.iter().skip(1).position(|w| is_python(w))? + 1).cloned().collect(),
        ),
        name if super::agents::process::is_python(name) => Some(vec![words[0].clone()]),
        _ => None,
    }
}

fn is_python(word: &str) -> bool {
    word.rsplit('/').next().is_some_and(super::agents::process::is_python)
}

/// Returns the interpreter of a first line: what `env` is to look for, or the program itself.
fn interpreter_in(words: &[String]) -> Option<&str> {
    let (first, rest) = words.split_first()?;
    if !first.ends_with("/env") {
        return Some(first);
    }
    rest.iter().map(String::as_str).find(|word| !word.starts_with('-') && !word.contains('='))
}

/// Returns the PATH with which a service runs.
fn path_of(root: &Root, service: Option<&Service>) -> String {
    let Some(service) = service else { return exec::DEFAULT_PATH.to_owned() };
    if let Some(unit) = &service.unit {
        return exec::variable(unit, "PATH").map_or(exec::DEFAULT_PATH.to_owned(), |(path, _)| path);
    }
    if service.init == Init::Systemd {
        return exec::DEFAULT_PATH.to_owned();
    }
    // One that cannot be read sets no PATH that is known.
    let script =
        root.tail_opt(&service.path, SCRIPT_MAX).ok().flatten().map(|tail| tail.text).unwrap_or_default();
    script_path(&script).unwrap_or(SCRIPT_PATH).to_owned()
}

/// Returns the value of the last plain `PATH=` of a script.
fn script_path(script: &str) -> Option<&str> {
    script.lines().filter_map(assigned_path).next_back()
}

fn assigned_path(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line =
        line.strip_prefix("export ").or_else(|| line.strip_prefix("env ")).unwrap_or(line).trim_start();
    let value = line.strip_prefix("PATH=")?.split([';', ' ']).next()?.trim_matches(['"', '\'']);
    (!value.contains('$') && value.starts_with('/')).then_some(value)
}

/// Returns the version that a name (`python3.6`, `python3.6m`, `platform-python3.6`) or the only module directory
/// beside it tells.
fn version_of(root: &Root, file: &str) -> Option<(u32, u32)> {
    let name = file.rsplit('/').next()?;
    if let Some(version) = name.rsplit_once("python").and_then(|(_, rest)| numbers(rest)) {
        return Some(version);
    }
    let head = root.open_file(file).ok().flatten().map(|(file, _)| file)?;
    let mut magic = [0; 4];
    std::io::Read::read_exact(&mut &head, &mut magic).ok()?;
    if &magic != b"\x7fELF" {
        return None;
    }
    let lib = format!("{}/lib", prefix_of(file));
    let names = root.read_dir(&lib).ok()?.into_iter().map(|entry| entry.name);
    let mut versions = names.filter_map(|name| {
        let version = numbers(name.strip_prefix("python")?)?;
        root.exists(&format!("{lib}/{name}/os.py")).then_some(version)
    });
    let version = versions.next()?;
    versions.next().is_none().then_some(version)
}

fn numbers(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim_end_matches(['m', 'd', 'u']).split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Returns the prefix of an installation: two levels above the program, and /usr for /bin.
fn prefix_of(file: &str) -> &str {
    let dir = file.rsplit_once('/').map_or("", |(dir, _)| dir);
    match dir.rsplit_once('/') {
        Some((prefix, _)) => prefix,
        None => "usr",
    }
}

/// Returns the directories in which a Python looks for modules, as its own site.py and the distributions' patches
/// to it set them.
fn module_dirs(root: &Root, path: &str, file: &str, version: (u32, u32)) -> Result<Vec<String>> {
    let (major, minor) = version;
    let python = format!("python{major}.{minor}");
    let mut dirs = Vec::new();
    let own = prefix_of(path);
    let venv = root.text_opt(&format!("{own}/pyvenv.cfg")).ok().flatten();
    let mut sites = Vec::new();
    if venv.is_some() {
        sites.extend(["lib", "lib64"].map(|lib| format!("{own}/{lib}/{python}/site-packages")));
    }
    let prefix = prefix_of(file);
    let alone =
        venv.is_some_and(|text| !text.to_ascii_lowercase().replace(' ', "").contains("packages=true"));
    dirs.extend(["lib", "lib64"].map(|lib| format!("{prefix}/{lib}/{python}")));
    if !alone {
        if prefix == "usr" {
            for lib in ["lib", "lib64"] {
                sites.push(format!("usr/local/{lib}/{python}/site-packages"));
                sites.push(format!("usr/local/{lib}/{python}/dist-packages"));
            }
            sites.push(format!("usr/lib/python{major}/dist-packages"));
            sites.push(format!("usr/lib/{python}/dist-packages"));
        }
        sites.extend(["lib", "lib64"].map(|lib| format!("{prefix}/{lib}/{python}/site-packages")));
    }
    for site in sites {
        for pth in root.files_in(&site, ".pth")?.into_iter().take(PTH_MAX) {
            let text = root.text_opt(&pth)?.unwrap_or_default();
            let lines = text.lines().take(PTH_MAX).map(str::trim);
            let named = lines
                .filter(|line| !line.is_empty() && !line.starts_with(['#']) && !line.starts_with("import"));
            dirs.extend(named.map(|line| match line.strip_prefix('/') {
                Some(absolute) => absolute.to_owned(),
                None => format!("{site}/{line}"),
            }));
        }
        dirs.push(site);
    }
    Ok(dirs)
}

/// Whether a directory holds a module. An empty directory left behind by a removed package holds none.
fn has(root: &Root, dir: &str, module: &str) -> bool {
    let plain = ["/__init__.py", "/__init__.pyc", ".py"].map(|end| format!("{dir}/{module}{end}"));
    plain.iter().any(|path| root.exists(path)) || !compiled(root, dir, module).unwrap_or_default().is_empty()
}

/// Returns the compiled files of a module in a directory.
fn compiled(root: &Root, dir: &str, module: &str) -> Result<Vec<String>> {
    let begins =
        |path: &String| path[dir.len() + 1..].strip_prefix(module).is_some_and(|rest| rest.starts_with('.'));
    Ok(root.files_in(dir, ".so")?.into_iter().filter(begins).collect())
}

/// Returns a compiled file of a module when there are some and none is for this Python.
fn foreign_part(
    root: &Root,
    dirs: &[String],
    module: &str,
    (major, minor): (u32, u32),
) -> Result<Option<String>> {
    let mut foreign = None;
    let mine = format!("cpython-{major}{minor}");
    for dir in dirs {
        for file in compiled(root, dir, module)? {
            let tag = file.rsplit('/').next().unwrap_or_default();
            let tag = tag.split('.').nth(1).unwrap_or_default();
            let rest = tag.strip_prefix(&mine);
            if !tag.starts_with("cpython-")
                || rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
            {
                return Ok(None);
            }
            foreign = Some(file);
        }
    }
    Ok(foreign)
}

#[cfg(test)]
mod tests;
