//! What a second look says of a change: what is bad takes the change back, what could not be mended is only left.
//!
//! A check is about several subjects (NICs, files). A fix that mends one of them stays although another has to be
//! mended by hand; a fix that mends none, or breaks what was whole, is taken back.

use crate::check::{Finding, Status};

/// A check and its subject.
type Key = (&'static str, Option<String>);

/// What failed before the change: how often each check and subject did.
#[derive(Debug, Clone, Default)]
pub(super) struct Broken(Vec<Key>);

/// The verdict over the second look.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Takes the change back.
    pub(super) bad: Option<Finding>,
    /// Was broken before, and still is, while the same check has less to say than before.
    pub(super) left: Vec<Finding>,
}

impl Broken {
    /// Collects what fails.
    pub(super) fn of(findings: &[Finding]) -> Self {
        Self(findings.iter().filter(|f| f.status == Status::Fail).map(key).collect())
    }

    /// Judges the second look.
    pub(super) fn judge(&self, found: &[Finding]) -> Verdict {
        let now = Self::of(found);
        let mut verdict = Verdict::default();
        for finding in found.iter().filter(|f| f.status == Status::Fail) {
            let was_there = self.count(finding.subject.as_deref(), finding.id);
            let is_there = now.count(finding.subject.as_deref(), finding.id);
            if is_there <= was_there && now.all_of(finding.id) < self.all_of(finding.id) {
                verdict.left.push(finding.clone());
            } else if verdict.bad.is_none() {
                verdict.bad = Some(finding.clone());
            }
        }
        verdict
    }

    fn count(&self, subject: Option<&str>, id: &str) -> usize {
        self.0.iter().filter(|(of, about)| *of == id && about.as_deref() == subject).count()
    }

    fn all_of(&self, id: &str) -> usize {
        self.0.iter().filter(|(of, _)| *of == id).count()
    }
}

fn key(finding: &Finding) -> Key {
    (finding.id, finding.subject.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Topic;

    fn findings(rows: &[(&'static str, &str)]) -> Vec<Finding> {
        rows.iter().map(|(id, about)| Finding::fail("x").of(id, Topic::Network).about(*about)).collect()
    }

    #[test]
    fn what_was_mended_stays_and_what_was_not_is_left_by_check_and_subject() {
        let rows: [(&[_], &[_], Option<&str>, &[&str]); 7] = [
            (&[("a", "eth0"), ("a", "eth1")], &[], None, &[]),
            (&[("a", "eth0"), ("a", "eth1")], &[("a", "eth1")], None, &["eth1"]),
            // nothing of it was mended
            (&[("a", "eth0"), ("a", "eth1")], &[("a", "eth0"), ("a", "eth1")], Some("eth0"), &[]),
            // one was mended, another broken
            (&[("a", "eth0"), ("a", "eth1")], &[("a", "eth2")], Some("eth2"), &[]),
            // another check's success says nothing of this one
            (&[("a", "eth0"), ("b", "eth0")], &[("b", "eth0")], Some("eth0"), &[]),
            // twice about one subject, once mended
            (&[("a", "eth0"), ("a", "eth0")], &[("a", "eth0")], None, &["eth0"]),
            (&[], &[("a", "eth0")], Some("eth0"), &[]),
        ];
        for (before, after, bad, left) in rows {
            let verdict = Broken::of(&findings(before)).judge(&findings(after));
            let about = |f: &Finding| f.subject.clone().unwrap();
            let found: Vec<String> = verdict.left.iter().map(about).collect();
            assert_eq!(
                (verdict.bad.as_ref().map(about).as_deref(), found),
                (bad, left.iter().map(ToString::to_string).collect()),
                "{before:?} {after:?}"
            );
        }
    }
}
