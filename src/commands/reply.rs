//! The answer to a request, in the form that the host's text filter leaves whole.
//!
//! The host reads it through `xenstore-read` without `-R` and hands the text to a JSON reader: a byte outside
//! printable ASCII, a backslash or a quote inside the message breaks it, and an unknown code fails the build.

/// The most bytes of an answer; a guest's node holds 2048 (`quota-maxsize`), its permissions and name included.
const ANSWER_MAX: usize = 2000;

/// A code and a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: &'static str,
    message: String,
}

impl Reply {
    /// Done.
    pub fn done(message: impl AsRef<str>) -> Self {
        Self::new("0", message.as_ref())
    }

    /// The code that nova wants of `keyinit` alone, with the public key.
    pub fn key(public: impl AsRef<str>) -> Self {
        Self::new("D0", public.as_ref())
    }

    /// Not done, or not all of it. Of `resetnetwork` nova takes it for success, of everything else as a fault.
    pub fn failed(reason: impl AsRef<str>) -> Self {
        Self::new("500", reason.as_ref())
    }

    /// Nothing of a `resetnetwork` was done: the host records a fault.
    pub fn nothing_done(reason: impl AsRef<str>) -> Self {
        Self::new("1", reason.as_ref())
    }

    /// There is no such command; the words are those of nova-agent 1.x.
    pub fn unknown(name: &str) -> Self {
        let name: String = name.chars().take(60).collect();
        Self::new("404", &format!("No such agent command '{name}'"))
    }

    fn new(code: &'static str, message: &str) -> Self {
        let room = ANSWER_MAX - wire(code, "").len();
        let safe = |c: char| match c {
            '"' => '\'',
            '\\' => '/',
            ' '..='~' => c,
            c if c.is_whitespace() || c.is_control() => ' ',
            _ => '?',
        };
        Self { code, message: message.chars().map(safe).take(room).collect() }
    }

    /// Returns the code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Returns the message as it goes out.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the host takes it for success, whatever the command was.
    pub fn is_success(&self) -> bool {
        matches!(self.code, "0" | "D0")
    }

    /// Returns the text for `data/guest/<id>`.
    pub fn to_wire(&self) -> String {
        wire(self.code, &self.message)
    }
}

fn wire(code: &str, message: &str) -> String {
    format!(r#"{{"message": "{message}", "returncode": "{code}"}}"#)
}

impl From<&anyhow::Error> for Reply {
    fn from(error: &anyhow::Error) -> Self {
        Self::failed(format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_is_what_nova_accepts() {
        assert_eq!(Reply::done("2.1.25").to_wire(), r#"{"message": "2.1.25", "returncode": "0"}"#);
        assert_eq!(Reply::key("123").to_wire(), r#"{"message": "123", "returncode": "D0"}"#);
    }

    #[test]
    fn what_the_filter_would_break_is_replaced() {
        let reply = Reply::failed("reading \"C:\\caf\u{e9}\":\n\tno");
        assert_eq!(reply.message(), "reading 'C:/caf?':  no");
    }

    proptest! {
        #[test]
        fn every_answer_survives_the_filter(message in ".{0,3000}") {
            let wire = Reply::failed(&message).to_wire();
            prop_assert!(wire.len() <= ANSWER_MAX);
            prop_assert!(wire.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'\\'));
            let back: serde_json::Value = serde_json::from_str(&wire).unwrap();
            prop_assert_eq!(back["returncode"].as_str(), Some("500"));
        }
    }
}
