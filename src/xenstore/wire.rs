//! The messages of the store's protocol (Xen's public/io/xs_wire.h and docs/misc/xenstore.txt), without any I/O.
//!
//! Everything that arrives is untrusted: lengths are checked before they are used, and any bytes give a message or
//! an error. A new request is one variant of [`Op`] and, where its answer has a form of its own, one function.
//! There are no transactions: nothing in this program needs two nodes to change together.

use super::{Access, Permission};

/// Length of `struct xsd_sockmsg`, in bytes.
pub(super) const HEADER: usize = 16;

/// `XENSTORE_PAYLOAD_MAX`, in bytes: what follows the header of a request. A daemon cuts the connection of a client
/// that sends more, or never answers it.
pub(super) const PAYLOAD_MAX: usize = 4096;

/// The longest answer, in bytes. The protocol has one limit for both ways, but on its socket oxenstored sends a
/// listing of any length whole.
const ANSWER_MAX: usize = 1 << 20;

/// `XENSTORE_ABS_PATH_MAX` with its final NUL, in bytes.
const ABSOLUTE_PATH_MAX: usize = 3071;

/// `XENSTORE_REL_PATH_MAX`, in bytes.
const RELATIVE_PATH_MAX: usize = 2048;

/// What a message asks or answers; an answer has the type of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Op {
    Directory = 1,
    Read = 2,
    GetPermissions = 3,
    Watch = 4,
    Unwatch = 5,
    Write = 11,
    Remove = 13,
    WatchEvent = 15,
    Error = 16,
    DirectoryPart = 22,
}

const OPS: [Op; 10] = [
    Op::Directory,
    Op::Read,
    Op::GetPermissions,
    Op::Watch,
    Op::Unwatch,
    Op::Write,
    Op::Remove,
    Op::WatchEvent,
    Op::Error,
    Op::DirectoryPart,
];

/// A request, an answer or an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) op: Op,
    /// Chosen by who asks, and given back by most who answer.
    pub(super) request: u32,
    pub(super) payload: Vec<u8>,
}

/// Bytes that are not the protocol's; says in words why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) String);

/// One piece of a listing that does not fit into a single answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Changes whenever the node's children do.
    pub(super) generation: String,
    /// Names, each with its NUL.
    pub(super) names: Vec<u8>,
    pub(super) is_last: bool,
}

impl Message {
    /// Returns the bytes, in the byte order of this machine as the header's C structure has it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER + self.payload.len());
        for word in [self.op as u32, self.request, 0, length] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(&self.payload);
        bytes
    }

    /// Returns the first message of `bytes` and its length, or `None` while it is not complete.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
        let word =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (kind, request, length) = (word(0), word(4), word(12) as usize);
        if length > ANSWER_MAX {
            return Err(Malformed(format!("a message of {length} bytes, {ANSWER_MAX} are allowed")));
        }
        let Some(op) = OPS.into_iter().find(|op| *op as u32 == kind) else {
            return Err(Malformed(format!("a message of the unknown type {kind}")));
        };
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        Ok(Some((Self { op, request, payload: payload.to_vec() }, HEADER + length)))
    }
}

/// Returns the payload of a request: words, each with its NUL.
pub(super) fn words(words: &[&str]) -> Vec<u8> {
    words.iter().flat_map(|word| word.bytes().chain([0])).collect()
}

/// Returns the texts of a payload in which each ends with a NUL.
pub(super) fn texts(payload: &[u8]) -> Vec<String> {
    let payload = payload.strip_suffix(&[0]).unwrap_or(payload);
    if payload.is_empty() {
        return Vec::new();
    }
    payload.split(|&byte| byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

/// Returns one piece of a listing: its generation, names, and an empty name after the last.
pub(super) fn part(payload: &[u8]) -> Result<Part, Malformed> {
    let Some(end) = payload.iter().position(|&byte| byte == 0) else {
        return Err(Malformed("a piece of a listing without its generation".to_owned()));
    };
    let generation = String::from_utf8_lossy(&payload[..end]).into_owned();
    let names = &payload[end + 1..];
    let (names, is_last) = match names {
        [0] => (&names[..0], true),
        [before @ .., 0, 0] => (&names[..=before.len()], true),
        [.., 0] => (names, false),
        _ => return Err(Malformed("a piece of a listing that ends within a name".to_owned())),
    };
    Ok(Part { generation, names: names.to_vec(), is_last })
}

/// Returns who may use a node; the first entry is its owner, whose letter holds for all others.
pub(super) fn permissions(payload: &[u8]) -> Result<Vec<Permission>, Malformed> {
    let permission = |text: String| {
        let (letter, domain) = text.split_at_checked(1)?;
        let access = match letter {
            "n" => Access::None,
            "r" => Access::Read,
            "w" => Access::Write,
            "b" => Access::Both,
            _ => return None,
        };
        Some(Permission { domain: domain.parse().ok()?, access })
    };
    let parsed: Option<Vec<_>> = texts(payload).into_iter().map(permission).collect();
    parsed.ok_or_else(|| Malformed("permissions that are not a letter and a domain".to_owned()))
}

/// Returns why no node can have this path, in words.
pub(super) fn path_fault(path: &str) -> Option<String> {
    let longest = if path.starts_with('/') { ABSOLUTE_PATH_MAX } else { RELATIVE_PATH_MAX };
    if path.is_empty() {
        return Some("the path is empty".to_owned());
    }
    if path.len() > longest {
        return Some(format!("the path has {} bytes, {longest} are allowed", path.len()));
    }
    if let Some(character) = path.chars().find(|&c| !c.is_ascii_alphanumeric() && !"-/_@".contains(c)) {
        return Some(format!("{character:?} is not allowed in a path"));
    }
    if path.contains("//") || (path.len() > 1 && path.ends_with('/')) {
        return Some("the path has an empty name in it".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(kind: u32, length: u32) -> Vec<u8> {
        [kind, 1, 0, length].iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            op in proptest::sample::select(OPS.to_vec()),
            request: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..=PAYLOAD_MAX),
            after in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let message = Message { op, request, payload };
            let mut bytes = message.encode();
            let length = bytes.len();
            prop_assert_eq!(Message::decode(&bytes[..length - 1]), Ok(None));
            bytes.extend(after);
            prop_assert_eq!(Message::decode(&bytes), Ok(Some((message, length))));
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u32..30) {
            let _ = Message::decode(&bytes);
            let mut framed = header(kind, u32::try_from(bytes.len()).unwrap());
            framed.extend(&bytes);
            let _ = Message::decode(&framed);
            let _ = (texts(&bytes), part(&bytes), permissions(&bytes));
        }

        #[test]
        fn any_text_is_a_path_or_a_fault(path in ".*") {
            let fault = path_fault(&path);
            prop_assert!(fault.is_some() || path.is_ascii());
        }
    }

    #[test]
    fn lengths_and_types_out_of_bounds_are_refused() {
        for (kind, length, words) in [
            (2, 1_048_577, "a message of 1048577 bytes, 1048576 are allowed"),
            (2, u32::MAX, "a message of 4294967295 bytes, 1048576 are allowed"),
            (99, 0, "a message of the unknown type 99"),
        ] {
            assert_eq!(Message::decode(&header(kind, length)), Err(Malformed(words.to_owned())));
        }
    }

    #[test]
    fn names_of_a_listing_are_split_at_their_nuls() {
        assert_eq!(texts(b""), Vec::<String>::new());
        assert_eq!(texts(b"host\0guest\0"), ["host", "guest"]);
        assert_eq!(texts(b"n0\0r7"), ["n0", "r7"]);
    }

    #[test]
    fn a_piece_of_a_listing_says_whether_it_is_the_last() {
        let piece =
            |names: &[u8], is_last| Part { generation: "12".to_owned(), names: names.to_vec(), is_last };
        for (payload, expected) in [
            (&b"12\0a\0bc\0"[..], Ok(piece(b"a\0bc\0", false))),
            (b"12\0a\0bc\0\0", Ok(piece(b"a\0bc\0", true))),
            (b"12\0\0", Ok(piece(b"", true))),
            (b"12", Err(Malformed("a piece of a listing without its generation".to_owned()))),
            (b"12\0", Err(Malformed("a piece of a listing that ends within a name".to_owned()))),
            (b"12\0a", Err(Malformed("a piece of a listing that ends within a name".to_owned()))),
        ] {
            assert_eq!(part(payload), expected, "{payload:?}");
        }
    }

    #[test]
    fn permissions_are_a_letter_and_a_domain() {
        assert_eq!(
            permissions(b"n0\0r7\0b12\0"),
            Ok(vec![
                Permission { domain: 0, access: Access::None },
                Permission { domain: 7, access: Access::Read },
                Permission { domain: 12, access: Access::Both },
            ])
        );
        for wrong in [&b"x0\0"[..], b"n\0", b"nn\0", b"\xff0\0", b"n0\0\0"] {
            assert!(permissions(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_path_that_the_store_would_refuse_is_refused_in_words() {
        let long_absolute = format!("/{}", "x".repeat(3071));
        let long_relative = "x".repeat(2049);
        for (path, fault) in [
            ("/", None),
            ("vm-data/networking/BC764E207572", None),
            ("@releaseDomain", None),
            (&long_absolute[..3071], None),
            (&long_relative[..2048], None),
            (&long_absolute, Some("the path has 3072 bytes, 3071 are allowed")),
            (&long_relative, Some("the path has 2049 bytes, 2048 are allowed")),
            ("", Some("the path is empty")),
            ("data/", Some("the path has an empty name in it")),
            ("a//b", Some("the path has an empty name in it")),
            ("a b", Some("' ' is not allowed in a path")),
            ("a\0b", Some("'\\0' is not allowed in a path")),
            ("ü", Some("'ü' is not allowed in a path")),
        ] {
            assert_eq!(path_fault(path).as_deref(), fault, "{path:?}");
        }
    }
}
