//! A new password, typed unseen on the terminal. Every key is read by itself, since Ctrl-C has to end the question: a
//! line read with echo off does not return for a signal that has a handler.

use std::io::{self, Write};

use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Interrupted;
use crate::secret::Secret;

/// The longest line, in bytes; what is typed beyond it is not taken.
const LINE_MAX: usize = 4096;

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: [u8; 2] = [8, 127];
const CTRL_U: u8 = 21;

/// Asks twice, until both are the same.
pub(super) fn ask(prompt: &str) -> anyhow::Result<Secret> {
    loop {
        let first = line(prompt)?;
        if first.is_empty() {
            say("A password cannot be empty; Ctrl-C leaves.\n")?;
            continue;
        }
        if *first == *line("The same once more")? {
            return Ok(Secret::new(first.to_vec()));
        }
        say("The two are not the same.\n")?;
    }
}

/// Reads a line that is not shown.
fn line(prompt: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let unseen = Unseen::begin()?;
    say(&format!("{prompt}: "))?;
    let read = unseen.line();
    drop(unseen);
    say("\n")?;
    read
}

fn say(text: &str) -> io::Result<()> {
    let mut screen = io::stderr();
    screen.write_all(text.as_bytes())?;
    screen.flush()
}

/// A terminal that shows nothing and hands on every key; as it was once this is dropped.
struct Unseen {
    before: Termios,
}

impl Unseen {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(stdin(), OptionalActions::Now, &unseen)?;
        Ok(Self { before })
    }

    fn line(&self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        // a longer one is no password: nothing of it stays behind in memory that grew
        let mut line = Zeroizing::new(Vec::with_capacity(LINE_MAX));
        let mut key = Zeroizing::new([0]);
        loop {
            match rustix::io::read(stdin(), &mut *key) {
                Err(rustix::io::Errno::INTR) => continue,
                Ok(0) | Err(_) => return Err(Interrupted.into()),
                Ok(_) => {}
            }
            match key[0] {
                b'\r' | b'\n' => return Ok(line),
                CTRL_C | CTRL_D => return Err(Interrupted.into()),
                CTRL_U => line.clear(),
                byte if BACKSPACE.contains(&byte) => take_back(&mut line),
                byte if byte >= b' ' && line.len() < LINE_MAX => line.push(byte),
                // another control key is no part of a password
                _ => {}
            }
        }
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let back = tcsetattr(stdin(), OptionalActions::Now, &self.before);
        back.inspect_err(|error| tracing::debug!("giving the terminal its echo back: {error}")).ok();
    }
}

/// Takes the last character away, all its bytes.
fn take_back(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_taken_back_with_all_its_bytes() {
        let mut line = "aé€".as_bytes().to_vec();
        take_back(&mut line);
        assert_eq!(line, "aé".as_bytes());
        take_back(&mut line);
        take_back(&mut line);
        take_back(&mut line);
        assert!(line.is_empty());
    }
}
