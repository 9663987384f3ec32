//! What the host assigned, as the installed agent logged it at its last network reset.
//!
//! A mounted root has no XenStore, but both agents log each record before they use it: 2.x as `Interface <key>: {…}`,
//! 1.x as `interface <key>: {…}`, a Python dictionary in either case. It is what was assigned then, to the machine
//! that ran then: good enough to say which NIC is the public one, not to say that a NIC is missing.

use super::host::{HostNetwork, HostNic};
use crate::root::Root;

/// Where both agents log.
pub(super) const PATH: &str = "var/log/nova-agent.log";

/// The most that is read of the end of the log, in bytes.
const TAIL: u64 = 512 << 10;
/// The most records of one reset.
const RECORDS_MAX: usize = 64;

/// Returns the records of the last reset; `None` where the log has none.
pub(super) fn host_network(root: &Root) -> Option<HostNetwork> {
    let tail = root.tail_opt(PATH, TAIL).ok().flatten()?;
    let nics = last_records(&tail.text);
    (!nics.is_empty()).then_some(HostNetwork { nics })
}

fn last_records(log: &str) -> Vec<HostNic> {
    let mut nics: Vec<HostNic> = Vec::new();
    let mut is_new_reset = true;
    for line in log.lines() {
        // the request, as 2.x and 1.x log it
        if line.ends_with("-> resetnetwork") || line.contains("Received command 'resetnetwork'") {
            is_new_reset = true;
        }
        let Some((key, record)) = record(line) else { continue };
        if std::mem::take(&mut is_new_reset) {
            nics.clear();
        }
        if nics.len() < RECORDS_MAX && !nics.iter().any(|nic| nic.key == key) {
            nics.push(HostNic::parse(key, json_of(record).as_bytes()));
        }
    }
    nics.sort_by(|a, b| a.key.cmp(&b.key));
    nics
}

/// `2026-11-18 09:59:00,661 [INFO ] Interface BC764E207572: {'label': …}`
fn record(line: &str) -> Option<(&str, &str)> {
    let (_, text) = line.split_once("] ")?;
    let rest = text.strip_prefix("Interface ").or_else(|| text.strip_prefix("interface "))?;
    let (key, record) = rest.split_once(": ")?;
    let is_key = key.len() == 12 && key.bytes().all(|b| b.is_ascii_hexdigit());
    (is_key && record.starts_with('{')).then_some((key, record))
}

/// Writes Python's form of a dictionary as JSON. What is no such form comes out as no JSON.
fn json_of(python: &str) -> String {
    let mut json = String::with_capacity(python.len() + 16);
    let mut chars = python.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // Python 2 marks its texts
            'u' if matches!(chars.peek(), Some('\'' | '"')) => {}
            '\'' | '"' => {
                let mut text = String::new();
                while let Some(next) = chars.next().filter(|&next| next != c) {
                    // an escape of either language: what matters are quotation marks and backslashes
                    match next {
                        '\\' => text.extend(chars.next()),
                        next => text.push(next),
                    }
                }
                json.push_str(&serde_json::Value::String(text).to_string());
            }
            c if c.is_ascii_alphabetic() => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(char::is_ascii_alphabetic) {
                    word.push(c);
                }
                json.push_str(match word.as_str() {
                    "None" => "null",
                    "True" => "true",
                    "False" => "false",
                    other => other,
                });
            }
            c => json.push(c),
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_reset_counts_in_the_form_of_either_agent() {
        let log = "\
2026-11-18 09:58:00,610 [INFO ] Event: x -> resetnetwork
2026-11-18 09:58:00,655 [INFO ] Interface BC764E000001: {'label': 'old'}
2026-11-18 09:59:00,610 [INFO ] Event: y -> resetnetwork
2026-11-18 09:59:00,655 [INFO ] Interface BC764E206C5B: {'label': 'it\\'s', 'gateway': None, 'ips': [], 'n': 64}
2026-11-18 09:59:00,655 [INFO ] Interface BC764E206C5B: {'label': 'twice'}
2026-11-18 09:59:00,656 [INFO ] Interface 00AA4E206C5B: {u'label': u\"pub'lic\", u'gateway': u'10.0.0.1'}
2026-11-18 09:59:00,657 [INFO ] Interface BC764E999999: None
2026-11-18 09:59:00,657 [INFO ] Interface ../../etc: {}
";
        let read: Vec<_> = last_records(log)
            .into_iter()
            .map(|nic| (nic.key, nic.label, nic.gateway4.map(|gateway| gateway.to_string()), nic.problems))
            .collect();
        let want = [("00AA4E206C5B", "pub'lic", Some("10.0.0.1")), ("BC764E206C5B", "it's", None)];
        let want = want.map(|(key, label, gateway)| {
            (key.to_owned(), Some(label.to_owned()), gateway.map(str::to_owned), vec![])
        });
        assert_eq!(read, want);
    }

    proptest! {
        #[test]
        fn any_line_is_a_record_or_none(text in ".{0,80}") {
            last_records(&format!("x [INFO ] Interface BC764E206C5B: {{{text}\n"));
        }
    }
}
