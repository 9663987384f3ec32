//! The answers that the agent wrote: nobody else removes them, and a guest's quota is small.
//!
//! The host looks every half second for an answer, for at most five minutes after its request. C xenstored lets a guest
//! list about 54 of them in `data/guest` (2048 bytes), so an old one goes after three minutes, and earlier when there
//! are many, but never before the host has had time to look several times.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long an answer stays when there is room.
const KEPT: Duration = Duration::from_secs(180);

/// How long every answer stays: four looks of the host.
pub(super) const SEEN_AFTER: Duration = Duration::from_secs(2);

/// The most answers that stay longer than that.
const MANY: usize = 40;

/// The answers in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct Answers {
    written: VecDeque<(String, Instant)>,
}

impl Answers {
    /// Notes one.
    pub(super) fn note(&mut self, id: &str, now: Instant) {
        self.written.push_back((id.to_owned(), now));
    }

    /// Returns the oldest one that has to go now, and forgets it.
    pub(super) fn due(&mut self, now: Instant) -> Option<String> {
        let limit = if self.written.len() > MANY { SEEN_AFTER } else { KEPT };
        self.older_than(limit, now)
    }

    /// Returns the oldest one that the host has had time to see, and forgets it.
    pub(super) fn seen(&mut self, now: Instant) -> Option<String> {
        self.older_than(SEEN_AFTER, now)
    }

    /// Returns after how long one has to go; `None` where there is none.
    pub(super) fn next_due(&self, now: Instant) -> Option<Duration> {
        let limit = if self.written.len() > MANY { SEEN_AFTER } else { KEPT };
        self.written.front().map(|(_, when)| limit.saturating_sub(now.duration_since(*when)))
    }

    fn older_than(&mut self, limit: Duration, now: Instant) -> Option<String> {
        let (_, when) = self.written.front()?;
        if now.duration_since(*when) < limit {
            return None;
        }
        self.written.pop_front().map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: usize, when: Instant) -> Answers {
        let mut answers = Answers::default();
        (0..count).for_each(|number| answers.note(&number.to_string(), when));
        answers
    }

    fn gone(answers: &mut Answers, now: Instant) -> usize {
        std::iter::from_fn(|| answers.due(now)).count()
    }

    #[test]
    fn a_few_answers_stay_for_three_minutes() {
        let start = Instant::now();
        let mut answers = filled(3, start);
        assert_eq!(gone(&mut answers, start + Duration::from_secs(179)), 0);
        assert_eq!(answers.next_due(start + Duration::from_secs(60)), Some(Duration::from_secs(120)));
        assert_eq!(gone(&mut answers, start + KEPT), 3);
        assert_eq!(answers.next_due(start), None);
    }

    #[test]
    fn of_many_the_oldest_go_when_the_host_has_seen_them() {
        let start = Instant::now();
        let mut answers = filled(50, start);
        assert_eq!(gone(&mut answers, start + Duration::from_secs(1)), 0);
        assert_eq!(gone(&mut answers, start + SEEN_AFTER), 10, "forty stay");
        assert_eq!(answers.seen(start + SEEN_AFTER).as_deref(), Some("10"));
    }
}
