//! A command that was not done, as the JSON document that stands in the place of its result (`schemas/error.json`).

use serde::Serialize;

use super::Exit;

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    schema: &'static str,
    novactl: &'static str,
    error: String,
    hint: Option<String>,
    exit: u8,
}

impl Failure {
    /// Returns the document: what could not be done, what to type next, and the exit code.
    pub fn new(error: impl Into<String>, hint: Option<&str>, exit: Exit) -> Self {
        Self {
            schema: "novactl.error/1",
            novactl: env!("CARGO_PKG_VERSION"),
            error: error.into(),
            hint: hint.map(str::to_owned),
            exit: exit as u8,
        }
    }
}
