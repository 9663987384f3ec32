//! The line of a monitoring plugin: state, text, and performance data after the bar.
//!
//! Source of the form: Monitoring Plugins Development Guidelines.

use std::fmt;

/// The states of that world; their numbers are its exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Fine.
    Ok = 0,
    /// Works, needs a look.
    Warning = 1,
    /// Broken.
    Critical = 2,
    /// Could not be judged.
    Unknown = 3,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The command, in upper case.
    pub service: &'static str,
    /// The state.
    pub state: State,
    /// What is to be read first.
    pub text: String,
    /// Labels with their counts.
    pub perfdata: Vec<(&'static str, u64)>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "OK",
            State::Warning => "WARNING",
            State::Critical => "CRITICAL",
            State::Unknown => "UNKNOWN",
        };
        // The bar separates the performance data, a line feed ends what is shown in the overview.
        let text = self.text.replace(['|', '\n'], " ");
        write!(f, "{} {state} - {text}", self.service)?;
        for (place, (label, value)) in self.perfdata.iter().enumerate() {
            write!(f, "{}{label}={value}", if place == 0 { " | " } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_in_the_text_does_not_start_performance_data() {
        let line = Line {
            service: "DOCTOR",
            state: State::Critical,
            text: "a|b\nc".to_owned(),
            perfdata: vec![("fail", 1), ("warn", 0)],
        };
        assert_eq!(line.to_string(), "DOCTOR CRITICAL - a b c | fail=1 warn=0");
    }
}
