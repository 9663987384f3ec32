//! A store in memory, for the tests of the checks.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::xenstore::{Error, Xenstore};

/// Nodes by their paths.
pub(in crate::check) struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    pub(in crate::check) fn of(nodes: &[(&str, &str)]) -> Self {
        Self(nodes.iter().map(|(path, value)| ((*path).to_owned(), value.as_bytes().to_vec())).collect())
    }
}

impl Xenstore for Memory {
    fn list(&mut self, path: &str) -> Result<Vec<String>, Error> {
        let below = format!("{path}/");
        let names = self.0.keys().filter_map(|key| key.strip_prefix(&below)?.split('/').next());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.dedup();
        if names.is_empty() { Err(Error::NotFound(path.to_owned())) } else { Ok(names) }
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, Error> {
        self.0.get(path).cloned().ok_or_else(|| Error::NotFound(path.to_owned()))
    }

    fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Error> {
        self.0.insert(path.to_owned(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), Error> {
        self.0.remove(path);
        Ok(())
    }

    fn wait(&mut self, _path: &str, _limit: Duration) -> Result<bool, Error> {
        Ok(false)
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
