//! `injectfile` and `file_inject`: a file of the host's, such as root's authorized keys.
//!
//! An existing file keeps its mode and owner, a new one is 0600 and root's, as with nova-agent 2.x. What it replaced is
//! in the journal, not beside it under another name. Relative paths are refused: they mean nothing here.

use anyhow::{Result, bail};
use base64::Engine;
use serde::Deserialize;

use super::{Reply, decode};
use crate::plan::{FileChange, Plan, Secrecy};
use crate::root::Node;
use crate::target::Target;

/// The longest path, in bytes (linux/limits.h, `PATH_MAX`).
const PATH_MAX: usize = 4096;

/// A file to write.
#[derive(Clone, PartialEq, Eq)]
pub struct InjectFile {
    /// Where, from the root.
    pub path: String,
    /// Its whole content, any bytes.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for InjectFile {
    // the body can be a key
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InjectFile({:?}, {} bytes)", self.path, self.body.len())
    }
}

/// `file_inject` (the plugin's `inject_file`).
#[derive(Deserialize)]
struct Parts {
    b64_path: String,
    b64_file: String,
}

impl InjectFile {
    /// Reads the old form: base64 of path, comma, content. The path ends at the first comma.
    ///
    /// # Errors
    /// It is not of that form.
    pub fn of_text(text: &str) -> Result<Self, Reply> {
        let bytes = decode(text)?;
        let Some(comma) = bytes.iter().position(|byte| *byte == b',') else {
            return Err(Reply::failed("injectfile: there is no comma between path and content"));
        };
        Self::new(&bytes[..comma], bytes[comma + 1..].to_vec())
    }

    /// Reads the new form, an object of two base64 texts; some tools send the object as text.
    ///
    /// # Errors
    /// It is not of that form.
    pub fn of_object(json: &str) -> Result<Self, Reply> {
        let inner: Option<String> = serde_json::from_str(json).ok();
        let json = inner.as_deref().unwrap_or(json);
        let parts: Parts = serde_json::from_str(json).map_err(|e| {
            Reply::failed(format!("file_inject: the value is not b64_path and b64_file: {e}"))
        })?;
        Self::new(&decode(&parts.b64_path)?, decode(&parts.b64_file)?)
    }

    /// Returns the old form, as the host sends it.
    pub fn to_text(&self) -> String {
        let bytes = [self.path.as_bytes(), b",", &self.body].concat();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    fn new(path: &[u8], body: Vec<u8>) -> Result<Self, Reply> {
        let refused = |why: &str| Err(Reply::failed(format!("the path of the file {why}")));
        let Ok(path) = std::str::from_utf8(path) else { return refused("is not UTF-8") };
        if path.chars().any(char::is_control) {
            return refused("holds control characters");
        }
        if path.len() > PATH_MAX {
            return refused("is longer than a path may be");
        }
        if !path.starts_with('/') {
            return refused("does not begin with a slash");
        }
        if path.ends_with('/') || path.split('/').any(|part| matches!(part, "." | "..")) {
            return refused("names no file: it ends in a slash or holds . or ..");
        }
        Ok(Self { path: path.to_owned(), body })
    }

    /// Plans the file.
    ///
    /// # Errors
    /// Something else than a file is in its place, or it cannot be read.
    pub fn plan(&self, target: &Target) -> Result<Plan> {
        let path = self.path.trim_start_matches('/').to_owned();
        let landing = target.root.resolve(&path)?.unwrap_or_else(|| path.clone());
        let before = target.root.node(&landing)?;
        let mode = match before {
            Node::File(_) => None,
            Node::Absent => Some(0o600),
            Node::Link(to) => bail!("writing {path}: it is a link that leads nowhere, to {to}"),
        };
        Ok(Plan {
            verb: "injectfile",
            title: format!("write {}", self.path),
            files: vec![FileChange::Write { path, body: self.body.clone(), mode, secret: Secrecy::Secret }],
            activate: Vec::new(),
            steps: Vec::new(),
            ..Plan::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xenstore::Source;

    fn encoded(bytes: &[u8]) -> String {
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    fn parsed(bytes: &[u8]) -> Result<InjectFile, Reply> {
        InjectFile::of_text(&encoded(bytes))
    }

    #[test]
    fn the_path_ends_at_the_first_comma_and_the_content_is_any_bytes() {
        let file = parsed(b"/etc/motd,a,b\n\0\xff").unwrap();
        assert_eq!(file, InjectFile { path: "/etc/motd".to_owned(), body: b"a,b\n\0\xff".to_vec() });
        assert_eq!(InjectFile::of_text(&file.to_text()).unwrap(), file);
        assert_eq!(parsed(b"/empty,").unwrap().body, b"");
    }

    #[test]
    fn the_new_form_comes_as_an_object_or_as_text() {
        let object = format!(r#"{{"b64_path": "{}", "b64_file": "{}"}}"#, encoded(b"/a,b"), encoded(b"x"));
        let wanted = InjectFile { path: "/a,b".to_owned(), body: b"x".to_vec() };
        assert_eq!(InjectFile::of_object(&object).unwrap(), wanted);
        assert_eq!(InjectFile::of_object(&serde_json::to_string(&object).unwrap()).unwrap(), wanted);
        assert_eq!(InjectFile::of_object("{}").unwrap_err().code(), "500");
        assert_eq!(InjectFile::of_object("7").unwrap_err().code(), "500");
    }

    #[test]
    fn what_names_no_file_is_refused() {
        for path in ["etc/motd", "", "/etc/", "/etc/../etc/motd", "/a/./b", "/a\nb"] {
            assert_eq!(parsed(format!("{path},x").as_bytes()).unwrap_err().code(), "500", "{path:?}");
        }
        assert_eq!(parsed(b"/no comma").unwrap_err().code(), "500");
        assert_eq!(parsed(b"/\xff,x").unwrap_err().code(), "500");
        assert_eq!(InjectFile::of_text("not base64!").unwrap_err().code(), "500");
    }

    #[test]
    fn a_new_file_is_private_and_an_existing_one_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/old"), "old").unwrap();
        std::fs::set_permissions(dir.path().join("etc/old"), std::fs::Permissions::from_mode(0o640)).unwrap();
        let target = Target::offline(dir.path(), Source::None).unwrap();
        for (path, mode) in [("/etc/old", 0o640), ("/etc/new", 0o600)] {
            let plan = parsed(format!("{path},hunter2").as_bytes()).unwrap().plan(&target).unwrap();
            let prepared = plan.prepare(&target.root).unwrap();
            let (_, node) = prepared.results().next().unwrap();
            let Node::File(file) = node else { panic!("{node:?}") };
            assert_eq!((file.mode, file.body.as_slice()), (mode, b"hunter2".as_slice()), "{path}");
            let shown = serde_json::to_string(&prepared.preview()).unwrap();
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn a_directory_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        let target = Target::offline(dir.path(), Source::None).unwrap();
        let error = parsed(b"/etc,x").unwrap().plan(&target).unwrap_err();
        assert_eq!(format!("{error:#}"), "reading etc: it is a directory");
    }
}
