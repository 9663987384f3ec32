//! How a shell reads a file of assignments: which parts of it are assignments, their values, and what stands in a
//! function, a condition or a loop. Nothing is lost: the parts together are the text.

use crate::net::intent::WRITTEN;

/// A part of the file: an assignment with what leads to it and what follows on its line, or other text.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Blanks and `export` before an assignment; all of another text.
    pub(super) before: String,
    pub(super) assignment: Option<Assignment>,
    /// What follows the assignment: blanks, a comment, the end of the line.
    pub(super) after: String,
}

#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) name: String,
    /// As it is written, with the name.
    pub(super) raw: String,
    /// The words of an array, otherwise the value.
    pub(super) values: Vec<String>,
    pub(super) is_array: bool,
    /// `+=`
    pub(super) is_added: bool,
    /// It stands in a function, a condition or a loop.
    pub(super) is_nested: bool,
}

/// Splits a text into its parts.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut depth = 0_usize;
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, used) = match assignment(rest, depth > 0) {
            Some(found) => found,
            None => {
                let used = command_end(rest);
                let command = &rest[..used];
                depth = depth_after(command, depth);
                (Piece { before: command.to_owned(), assignment: None, after: String::new() }, used)
            }
        };
        pieces.push(piece);
        rest = &rest[used..];
    }
    pieces
}

/// Whether a function, a condition or a loop stands open at the end of a text.
pub(super) fn is_open_after(text: &str) -> bool {
    text.lines().fold(0, |depth, line| depth_after(line, depth)) > 0
}

/// Returns the assignment at the beginning of a text, with its length there; `None` where another command begins.
fn assignment(text: &str, is_nested: bool) -> Option<(Piece, usize)> {
    let blank = text.len() - text.trim_start_matches([' ', '\t']).len();
    let exported = text[blank..]
        .strip_prefix("export ")
        .map_or(0, |rest| 7 + rest.len() - rest.trim_start_matches(' ').len());
    let start = blank + exported;
    let (name, is_added, value) = name_of(&text[start..])?;
    let (values, is_array, length) = word(value);
    let end = text.len() - value.len() + length;
    let rest = &text[end..];
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
    let next = &rest[blanks..];
    let after = match next.chars().next() {
        None => rest,
        Some('\n') => &rest[..=blanks],
        Some('#') if blanks > 0 => &rest[..next.find('\n').map_or(rest.len(), |at| blanks + at + 1)],
        Some(';') if !next.starts_with(";;") => {
            let more = next[1..].len() - next[1..].trim_start_matches([' ', '\t']).len();
            let newline = usize::from(next[1 + more..].starts_with('\n'));
            &rest[..blanks + 1 + more + newline]
        }
        _ if blanks > 0 && name_of(next).is_some() => &rest[..blanks],
        // an assignment for one command, or something that is none
        Some(_) => return None,
    };
    let piece = Piece {
        before: text[..start].to_owned(),
        assignment: Some(Assignment {
            name: name.to_owned(),
            raw: text[start..end].to_owned(),
            values,
            is_array,
            is_added,
            is_nested,
        }),
        after: after.to_owned(),
    };
    Some((piece, end + after.len()))
}

/// Splits `NAME=value` and `NAME+=value`; whether it is the latter stands between them.
fn name_of(text: &str) -> Option<(&str, bool, &str)> {
    let length = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some(value) = rest.strip_prefix("+=") {
        return Some((name, true, value));
    }
    rest.strip_prefix('=').map(|value| (name, false, value))
}

/// Returns the words of the value at the beginning of a text, whether it is an array, and its length there.
fn word(text: &str) -> (Vec<String>, bool, usize) {
    let is_array = text.starts_with('(');
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut is_open = false;
    let mut quote = None;
    // how many `$(` stand open
    let mut commands = 0_usize;
    let mut chars = text.char_indices().skip(usize::from(is_array)).peekable();
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        match (quote, c) {
            (Some(open), c) if c == open => {
                quote = None;
                if c == '`' {
                    word.push(c);
                }
            }
            (Some('\'' | '`'), c) => word.push(c),
            (_, '\\') => {
                let escaped = chars.next().map(|(_, c)| c);
                if quote.is_some() && !escaped.is_some_and(|c| "\"\\$`\n".contains(c)) {
                    word.push('\\');
                }
                word.extend(escaped.filter(|c| *c != '\n'));
                is_open |= escaped.is_some_and(|c| c != '\n');
            }
            (_, '$') if next == Some('(') => {
                commands += 1;
                word.push_str("$(");
                is_open = true;
                chars.next();
            }
            (_, ')') if commands > 0 => {
                commands -= 1;
                word.push(c);
            }
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, is_open) = (Some(c), true),
            (None, '`') => {
                (quote, is_open) = (Some(c), true);
                word.push(c);
            }
            (None, ')') if is_array => {
                end = at + 1;
                break;
            }
            (None, '#') if is_array && !is_open => while chars.next_if(|(_, c)| *c != '\n').is_some() {},
            (None, c) if c.is_whitespace() && commands == 0 => {
                if !is_array {
                    end = at;
                    break;
                }
                if std::mem::take(&mut is_open) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, ';' | '&' | '|' | '<' | '>') if !is_array && commands == 0 => {
                end = at;
                break;
            }
            (None, c) => {
                is_open = true;
                word.push(c);
            }
        }
    }
    if is_open || !is_array {
        words.push(word);
    }
    (words, is_array, end)
}

/// Returns where the command or comment at the beginning of a text ends, its newline included.
pub(super) fn command_end(text: &str) -> usize {
    let is_comment = text.trim_start_matches([' ', '\t']).starts_with('#');
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '\n') => return at + 1,
            _ if is_comment => {}
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => {
                chars.next();
            }
            (None, '\'' | '"') => quote = Some(c),
            _ => {}
        }
    }
    text.len()
}

/// Returns how many functions, conditions and loops stand open after a command.
fn depth_after(command: &str, depth: usize) -> usize {
    let line = command.trim();
    if line.starts_with('#') {
        // whatever stands open above such a line is closed
        return if line.ends_with(WRITTEN) { 0 } else { depth };
    }
    let words = line.split(|c: char| c.is_whitespace() || c == ';').take_while(|word| !word.starts_with('#'));
    words.fold(depth, |depth, word| match word {
        "if" | "case" | "for" | "while" | "until" | "select" | "{" | "(" => depth + 1,
        "fi" | "esac" | "done" | "}" | ")" => depth.saturating_sub(1),
        word if word.ends_with("(){") => depth + 1,
        _ => depth,
    })
}
