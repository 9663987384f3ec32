//! What the host can ask for, as plan functions: the agent and the subcommands fill the same arguments.
//!
//! [`Request`] is what came, [`Reply`] what goes back; both know the wire form. To add a command: a line in
//! [`Name::ALL`], a variant of [`Request`], its file here, and the arm that the compiler then asks for in the agent.

pub mod boot;
pub mod file;
pub mod hostname;
pub mod keys;
pub mod kms;
pub mod network;
pub mod password;
mod reply;
pub mod update;

use serde::Deserialize;
use serde_json::value::RawValue;

use file::InjectFile;
use keys::PublicKey;
use kms::Activation;
pub use reply::Reply;
use update::Update;

/// The commands by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Which agent is this.
    Version,
    /// Which commands it knows.
    Features,
    /// Exchange keys for a password.
    KeyInit,
    /// Set the password of root.
    Password,
    /// Configure the NICs as the host says.
    ResetNetwork,
    /// Write a file: base64 of path, comma, content.
    InjectFile,
    /// Write a file: path and content apart.
    FileInject,
    /// Register RHEL.
    KmsActivate,
    /// Replace the agent.
    AgentUpdate,
}

impl Name {
    /// Every command and the word that the host uses; the order in which they are announced.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Version, "version"),
        (Self::Features, "features"),
        (Self::KeyInit, "keyinit"),
        (Self::Password, "password"),
        (Self::ResetNetwork, "resetnetwork"),
        (Self::InjectFile, "injectfile"),
        (Self::FileInject, "file_inject"),
        (Self::KmsActivate, "kmsactivate"),
        (Self::AgentUpdate, "agentupdate"),
    ];

    fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == word).map(|(name, _)| *name)
    }
}

/// A request of the host, read and checked.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// `version`.
    Version,
    /// `features`.
    Features,
    /// `keyinit` with the host's public key.
    KeyInit(PublicKey),
    /// `password` with the ciphertext.
    Password(Vec<u8>),
    /// `resetnetwork`.
    ResetNetwork,
    /// `injectfile` and `file_inject`.
    InjectFile(InjectFile),
    /// `kmsactivate`.
    KmsActivate(Activation),
    /// `agentupdate`.
    AgentUpdate(Update),
}

/// The two members of a request (nova's `plugins/xenserver/.../agent.py`); others are ignored.
#[derive(Deserialize)]
struct Wire<'a> {
    name: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

impl Request {
    /// Reads a request as it stands in `data/host/<id>`.
    ///
    /// # Errors
    /// The reply that says why it is none: 404 for an unknown command, 500 for everything malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, Reply> {
        let wire = members(bytes)?;
        let Some(name) = Name::of(&wire.name) else { return Err(Reply::unknown(&wire.name)) };
        match name {
            Name::Version => text(wire.value).map(|_| Self::Version),
            Name::Features => text(wire.value).map(|_| Self::Features),
            Name::ResetNetwork => text(wire.value).map(|_| Self::ResetNetwork),
            Name::KeyInit => PublicKey::parse(wire.value.get()).map(Self::KeyInit),
            Name::Password => decode(&text(wire.value)?).map(Self::Password),
            Name::InjectFile => InjectFile::of_text(&text(wire.value)?).map(Self::InjectFile),
            Name::FileInject => InjectFile::of_object(wire.value.get()).map(Self::InjectFile),
            Name::KmsActivate => Activation::parse(wire.value.get()).map(Self::KmsActivate),
            Name::AgentUpdate => Update::parse(wire.value.get()).map(Self::AgentUpdate),
        }
    }

    /// Returns the command's name in a request, for a log line; also of one that is malformed otherwise.
    pub fn name_in(bytes: &[u8]) -> String {
        members(bytes).map_or_else(|_| "(malformed)".to_owned(), |wire| wire.name)
    }
}

fn members(bytes: &[u8]) -> Result<Wire<'_>, Reply> {
    // the derived reader would also take the members from a list
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Reply::failed("the request is malformed: it is no JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|e| Reply::failed(format!("the request is malformed: {e}")))
}

fn text(value: &RawValue) -> Result<String, Reply> {
    serde_json::from_str(value.get())
        .map_err(|_| Reply::failed("the request is malformed: value is not text"))
}

/// Reads base64; the oldest hosts break it into lines.
fn decode(text: &str) -> Result<Vec<u8>, Reply> {
    use base64::Engine;
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let engine = base64::engine::general_purpose::STANDARD;
    engine.decode(packed).map_err(|e| Reply::failed(format!("the value is not base64: {e}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(bytes: &[u8]) -> (&'static str, String) {
        let reply = Request::parse(bytes).unwrap_err();
        (reply.code(), reply.message().to_owned())
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_reason() {
        let cases: [(&[u8], &str, &str); 12] = [
            (b"", "500", "the request is malformed: it is no JSON object"),
            (b"nonsense", "500", "the request is malformed: it is no JSON object"),
            (b"[\"version\", \"agent\"]", "500", "the request is malformed: it is no JSON object"),
            (b"\"version\"", "500", "the request is malformed: it is no JSON object"),
            (b"{\"name\": \"version\"}", "500", "missing field `value`"),
            (b"{\"value\": \"\"}", "500", "missing field `name`"),
            (b"{\"name\": 7, \"value\": \"\"}", "500", "invalid type: integer `7`"),
            (b"{\"name\": \"version\", \"value\": 7}", "500", "value is not text"),
            (b"{\"name\": \"version\", \"value\": null}", "500", "value is not text"),
            (b"{\"name\": \"version\", \"value\": \"\xff\"}", "500", "invalid unicode"),
            (b"{\"name\": \"__init__\", \"value\": \"\"}", "404", "No such agent command '__init__'"),
            (b"{\"name\": \"\", \"value\": \"\"}", "404", "No such agent command ''"),
        ];
        for (bytes, code, words) in cases {
            let (found, message) = refusal(bytes);
            assert_eq!(found, code, "{bytes:?}");
            assert!(message.contains(words), "{bytes:?}: {message}");
        }
    }

    #[test]
    fn requests_are_read_as_hosts_of_every_age_send_them() {
        let parse = |text: &str| Request::parse(text.as_bytes()).unwrap();
        assert_eq!(parse(r#"{"name": "version", "value": "agent"}"#), Request::Version);
        assert_eq!(parse(r#" {"value": "", "name": "version", "more": [1]}"#), Request::Version);
        assert_eq!(parse(r#"{"name": "resetnetwork", "value": ""}"#), Request::ResetNetwork);
        let key = PublicKey::parse("129095537238110053564884995097055").unwrap();
        for value in ["\"129095537238110053564884995097055\"", "129095537238110053564884995097055"] {
            let text = format!(r#"{{"name": "keyinit", "value": {value}}}"#);
            assert_eq!(parse(&text), Request::KeyInit(key));
        }
        let lines = parse("{\"name\": \"password\", \"value\": \"aGVs\\nbG8=\\n\"}");
        assert_eq!(lines, Request::Password(b"hello".to_vec()));
    }

    proptest! {
        #[test]
        fn whatever_stands_there_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Request::parse(&bytes);
        }

        #[test]
        fn whatever_a_command_is_given_is_read_or_refused(
            number in 0..Name::ALL.len(),
            value in "\\PC{0,200}|[0-9]{1,60}|\\{\"b64_path\": \"[A-Za-z0-9+/=]{0,40}\"\\}",
        ) {
            let name = Name::ALL[number].1;
            let text = serde_json::json!({ "name": name, "value": value }).to_string();
            let _ = Request::parse(text.as_bytes());
            let _ = Request::parse(format!("{{\"name\": \"{name}\", \"value\": {value}}}").as_bytes());
        }
    }
}
