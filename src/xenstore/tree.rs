//! A store in memory, loaded from a JSON dump: what a rescue system gives for the store of a guest that does not run.
//!
//! Inner objects are directories, strings are values; everything else in the file is an error that names its path.
//! A path with a leading slash begins at the top of the dump, as one without does. What is written stays in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::wire::{PAYLOAD_MAX, path_fault};
use super::{Error, Permission, Xenstore};

/// The largest dump, in bytes; the store of a whole host is smaller.
pub(super) const DUMP_MAX: usize = 4 << 20;

/// A store that only this program sees.
#[derive(Debug)]
pub(crate) struct Tree {
    name: String,
    top: Node,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Node {
    value: Vec<u8>,
    children: BTreeMap<String, Node>,
}

impl Tree {
    /// Returns the store of a dump; `name` is what its file is called.
    pub(crate) fn parse(name: &str, dump: &[u8]) -> Result<Self, Error> {
        let fault = |why: String| Error::Protocol(format!("reading the XenStore dump {name}: {why}"));
        if dump.len() > DUMP_MAX {
            return Err(Error::TooBig(format!(
                "reading the XenStore dump {name}: more than {DUMP_MAX} bytes are not read"
            )));
        }
        if dump.trim_ascii().is_empty() {
            return Err(fault("it is empty".to_owned()));
        }
        // The parser refuses more than 128 levels, so what walks the tree may recurse.
        let json: Value = serde_json::from_slice(dump).map_err(|e| fault(format!("not JSON: {e}")))?;
        let Value::Object(_) = json else {
            return Err(fault(format!("{} where one object was expected", kind(&json))));
        };
        Ok(Self { name: name.to_owned(), top: Node::of(json, "").map_err(fault)? })
    }

    fn find(&self, path: &str, doing: &str) -> Result<&Node, Error> {
        check_path(path, doing)?;
        let missing = || Error::NotFound(format!("{doing} {path}: no such node"));
        steps(path).try_fold(&self.top, |node, name| node.children.get(name)).ok_or_else(missing)
    }
}

impl Node {
    fn of(json: Value, path: &str) -> Result<Self, String> {
        match json {
            Value::String(text) => Ok(Self { value: text.into_bytes(), children: BTreeMap::new() }),
            Value::Object(members) => {
                let mut children = BTreeMap::new();
                for (name, member) in members {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                    if name.contains('/') || path_fault(&name).is_some() {
                        return Err(format!("{path:?}: {name:?} is no name of a node"));
                    }
                    children.insert(name, Self::of(member, &path)?);
                }
                Ok(Self { value: Vec::new(), children })
            }
            other => Err(format!("{path}: {} where a string or an object was expected", kind(&other))),
        }
    }
}

impl Xenstore for Tree {
    fn list(&mut self, path: &str) -> Result<Vec<String>, Error> {
        Ok(self.find(path, "listing")?.children.keys().cloned().collect())
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, Error> {
        Ok(self.find(path, "reading")?.value.clone())
    }

    fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Error> {
        check_path(path, "writing")?;
        let size = path.len() + 1 + value.len();
        if size > PAYLOAD_MAX {
            return Err(Error::TooBig(format!(
                "writing {path}: path and value are {size} bytes, {PAYLOAD_MAX} fit into a message"
            )));
        }
        let mut node = &mut self.top;
        for name in steps(path) {
            node = node.children.entry(name.to_owned()).or_default();
        }
        node.value = value.to_vec();
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), Error> {
        check_path(path, "removing")?;
        let mut names: Vec<&str> = steps(path).collect();
        let Some(last) = names.pop() else {
            return Err(Error::Protocol(format!("removing {path}: the top of a store cannot be removed")));
        };
        let mut node = &mut self.top;
        for name in names {
            let Some(child) = node.children.get_mut(name) else { return Ok(()) };
            node = child;
        }
        node.children.remove(last);
        Ok(())
    }

    /// Returns at once that nothing happened: nobody else changes a dump.
    fn wait(&mut self, path: &str, _limit: Duration) -> Result<bool, Error> {
        check_path(path, "watching")?;
        Ok(false)
    }

    /// Returns nothing: a dump does not hold them.
    fn permissions(&mut self, path: &str) -> Result<Vec<Permission>, Error> {
        self.find(path, "reading the permissions of").map(|_| Vec::new())
    }

    fn describe(&self) -> String {
        format!("the dump {}", self.name)
    }
}

fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

fn check_path(path: &str, doing: &str) -> Result<(), Error> {
    match path_fault(path) {
        None => Ok(()),
        Some(fault) => Err(Error::Protocol(format!("{doing} {path}: {fault}"))),
    }
}

fn kind(json: &Value) -> &'static str {
    match json {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(dump: &str) -> Tree {
        Tree::parse("dump.json", dump.as_bytes()).unwrap()
    }

    fn guest() -> Tree {
        tree(
            r#"{"name": "web01", "vm-data": {"hostname": "web01", "networking": {"BC764E207572": "{\"label\": 1}"}}}"#,
        )
    }

    #[test]
    fn objects_are_directories_and_strings_are_values() {
        let mut store = guest();
        assert_eq!(store.list("vm-data"), Ok(vec!["hostname".to_owned(), "networking".to_owned()]));
        assert_eq!(store.list("name"), Ok(vec![]));
        assert_eq!(store.read("vm-data/networking/BC764E207572"), Ok(br#"{"label": 1}"#.to_vec()));
        assert_eq!(store.read("vm-data"), Ok(vec![]));
        assert_eq!(store.read("/vm-data/hostname"), Ok(b"web01".to_vec()));
        assert_eq!(
            store.list("data/host"),
            Err(Error::NotFound("listing data/host: no such node".to_owned()))
        );
        assert_eq!(store.permissions("name"), Ok(vec![]));
        assert_eq!(store.wait("vm-data", Duration::from_secs(1000)), Ok(false));
        assert_eq!(store.describe(), "the dump dump.json");
    }

    #[test]
    fn what_is_written_is_there_until_it_is_removed() {
        let mut store = tree("{}");
        store.write("data/guest/7c0e", b"\xff").unwrap();
        assert_eq!(store.read("data/guest/7c0e"), Ok(b"\xff".to_vec()));
        assert_eq!(store.list("/"), Ok(vec!["data".to_owned()]));
        store.remove("data/guest/other").unwrap();
        store.remove("no/such/parent").unwrap();
        store.remove("data").unwrap();
        assert_eq!(store.top, Node::default());
    }

    #[test]
    fn requests_that_a_store_would_refuse_are_refused() {
        let mut store = guest();
        for (result, error) in [
            (
                store.read("a b").map(drop),
                Error::Protocol("reading a b: ' ' is not allowed in a path".to_owned()),
            ),
            (
                store.remove("/"),
                Error::Protocol("removing /: the top of a store cannot be removed".to_owned()),
            ),
            (
                store.write("name", &[b'x'; 4092]),
                Error::TooBig(
                    "writing name: path and value are 4097 bytes, 4096 fit into a message".to_owned(),
                ),
            ),
        ] {
            assert_eq!(result, Err(error));
        }
        assert_eq!(store.write("name", &[b'x'; 4091]), Ok(()));
    }

    #[test]
    fn a_dump_with_anything_else_names_the_place() {
        for (dump, why) in [
            ("[]", "a list where one object was expected"),
            (
                r#"{"vm-data": {"networking": {"A": {"label": null}}}}"#,
                "vm-data/networking/A/label: null where a string or an object was expected",
            ),
            (r#"{"domid": 7}"#, "domid: a number where a string or an object was expected"),
            (r#"{"a": {"b": ["x"]}}"#, "a/b: a list where a string or an object was expected"),
            (r#"{"a": true}"#, "a: true or false where a string or an object was expected"),
            (
                r#"{"vm-data/hostname": "x"}"#,
                r#""vm-data/hostname": "vm-data/hostname" is no name of a node"#,
            ),
            (r#"{"a": {"": "x"}}"#, r#""a/": "" is no name of a node"#),
            ("\n", "it is empty"),
            ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
        ] {
            let error = Tree::parse("d.json", dump.as_bytes()).unwrap_err();
            assert_eq!(error, Error::Protocol(format!("reading the XenStore dump d.json: {why}")), "{dump}");
        }
    }

    #[test]
    fn a_dump_that_is_too_deep_or_too_large_is_refused() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        assert!(matches!(Tree::parse("d", deep.as_bytes()), Err(Error::Protocol(_))));
        assert!(matches!(Tree::parse("d", &vec![b' '; DUMP_MAX + 1]), Err(Error::TooBig(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_dump_or_an_error(dump in proptest::collection::vec(any::<u8>(), 0..200), path in ".*") {
            let _ = Tree::parse("dump.json", &dump);
            let mut store = guest();
            let _ = (store.read(&path), store.write(&path, &dump), store.list(&path), store.remove(&path));
        }
    }
}
