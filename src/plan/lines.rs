//! Two changes of one text as one, where they are about different lines.
//!
//! Lines side by side are different lines: settings stand so, and each has its own owner. (`similar`'s own merge takes
//! them for a conflict, as version control does.) Two insertions at one place are refused: their order is not known.

use std::ops::Range;

use similar::{DiffOp, TextDiff};

/// A piece of the old text and what stands in its place.
#[derive(Debug, PartialEq, Eq)]
struct Edit<'t> {
    old: Range<usize>,
    new: Vec<&'t str>,
}

/// Returns the text with the changes of both; `None` where they contradict each other.
pub(super) fn of_both(base: &str, mine: &str, others: &str) -> Option<String> {
    let base: Vec<&str> = base.split_inclusive('\n').collect();
    let mut edits = edits(&base, mine);
    for edit in self::edits(&base, others) {
        if !edits.contains(&edit) {
            edits.push(edit);
        }
    }
    // what is inserted comes before what stands there
    edits.sort_by_key(|edit| (edit.old.start, edit.old.end));
    let is_apart = |pair: &[Edit<'_>]| pair[0].old.end <= pair[1].old.start && pair[0].old != pair[1].old;
    if !edits.windows(2).all(is_apart) {
        return None;
    }
    let mut merged = String::new();
    let mut at = 0;
    for Edit { old, new } in edits {
        merged.extend(base.get(at..old.start)?.iter().copied().chain(new));
        at = old.end;
    }
    merged.extend(base.get(at..)?.iter().copied());
    Some(merged)
}

fn edits<'t>(base: &[&str], changed: &'t str) -> Vec<Edit<'t>> {
    let changed: Vec<&str> = changed.split_inclusive('\n').collect();
    let diff = TextDiff::from_slices(base, &changed);
    let ops = diff.ops().iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
    ops.map(|op| Edit { old: op.old_range(), new: changed[op.new_range()].to_vec() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn different_lines_are_changed_together() {
        let base = "a=1\nb=1\nc=1\n";
        for (mine, others, both) in [
            ("a=2\nb=1\nc=1\n", "a=1\nb=2\nc=1\n", Some("a=2\nb=2\nc=1\n")),
            ("b=1\nc=1\n", "a=1\nb=1\nc=1\nd=1\n", Some("b=1\nc=1\nd=1\n")),
            ("a=1\nb=1\n", "a=1\nb=1\nc=1\nd=1\n", Some("a=1\nb=1\nd=1\n")),
            ("a=2\nb=1\nc=1\n", "a=2\nb=1\nc=2\n", Some("a=2\nb=1\nc=2\n")),
            ("a=2\nb=1\nc=1\n", "a=3\nb=1\nc=1\n", None),
            ("a=1\nb=1\nc=1\nd=1\n", "a=1\nb=1\nc=1\ne=1\n", None),
            ("", "a=1\nb=2\nc=1\n", None),
        ] {
            assert_eq!(of_both(base, mine, others).as_deref(), both, "{mine:?} {others:?}");
        }
    }

    proptest! {
        #[test]
        fn a_change_beside_none_is_that_change(base in "([ab]\n?){0,8}", changed in "([ab]\n?){0,8}") {
            prop_assert_eq!(of_both(&base, &changed, &base), Some(changed.clone()));
            prop_assert_eq!(of_both(&base, &base, &changed), Some(changed.clone()));
            prop_assert_eq!(of_both(&base, &changed, &changed), Some(changed));
        }
    }
}
