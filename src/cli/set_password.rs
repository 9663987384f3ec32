//! `novactl set-password`: a new password for an account, and what else would stop its login.

use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use zeroize::Zeroizing;

use super::change::{self, Consent, Request};
use super::diagnosis;
use super::trouble::Trouble;
use super::verification::Broken;
use super::{Global, say};
use crate::check::{self, Finding, Limits, Selection, Topic};
use crate::commands::password::{self, LENGTH_MAX, Proposal, SetPassword, Unlock};
use crate::report::{Exit, Format};
use crate::secret::{self, Secret};
use crate::ui;

const ROOT: &str = "root";
const ID: &str = "shadow-intact";

const EXAMPLES: &str = "\
Examples:
  novactl set-password                         asks twice
  novactl set-password --root /mnt/rescue      on a mounted disk
  novactl set-password --generate --yes        draws one and prints it once
  novactl set-password joe --stdin --yes <file one line
  novactl set-password --unlock                also opens a closed account

Only the hash and the day of the change are written; the hash is of the kind
that the system's own passwd makes. The password is never an argument, and in
no log, journal or report.";

/// Options of `set-password`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct SetPasswordArgs {
    /// Whose password
    #[arg(value_name = "USER", default_value = ROOT)]
    user: String,
    /// Read it from the standard input: one line
    #[arg(long, conflicts_with = "generate")]
    stdin: bool,
    /// Draw one of 20 letters and digits and print it once
    #[arg(long)]
    generate: bool,
    /// Take a lock, expiry, failed logins or a shell that refuses away
    #[arg(long)]
    unlock: bool,
    /// How far it may go.
    #[command(flatten)]
    consent: Consent,
}

impl SetPasswordArgs {
    pub(super) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        if self.generate && global.format != Format::Table {
            let hint = "leave --format out, or give one with --stdin";
            return Err(Trouble::new("a password is never part of a document", hint, Exit::Usage).into());
        }
        let target = global.target()?;
        // before a password is typed for nobody
        password::expect_user(&target, &self.user).map_err(|e| {
            let hint =
                "nothing was changed: novactl set-password USER names another, without USER it is root";
            Trouble::new(format!("{e:#}"), hint, Exit::CannotJudge)
        })?;
        let journal = change::begin(global, &target, &self.consent)?;
        secret::forbid_core_dumps().context("keeping the password out of core dumps")?;
        let unlock = if self.unlock { Unlock::Mend } else { Unlock::Keep };
        let request = SetPassword { user: self.user.clone(), password: self.password()?, unlock };
        let Proposal { plan, findings, left } = request.propose(&target)?;
        let change = Request {
            plan,
            verify: &|target| vec![verify(target, &request)],
            broken: Broken::default(),
            findings,
            interfaces: None,
            revert_after: None,
            left,
        };
        let mut report = change::carry_out(global, &target, &self.consent, journal.as_ref(), change)?;
        drop(journal);
        if report.is_done() {
            report.also(self.other_obstacles(global)?);
        }
        let code = say(global, &report)?;
        if self.generate && report.is_done() {
            ui::show_password(&request.password).context("printing the password")?;
        }
        Ok(code)
    }

    /// Returns the password from where it is to come. It is judged before anything else happens with it.
    fn password(&self) -> anyhow::Result<Secret> {
        let password = if self.generate {
            password::draw()?
        } else if self.stdin {
            one_line()?
        } else {
            ui::new_password(&self.user)?.ok_or_else(|| {
                let text = "there is no terminal to ask for the password on";
                Trouble::new(
                    text,
                    "--stdin reads it from the standard input, --generate draws one",
                    Exit::Declined,
                )
            })?
        };
        password::refuse_password(&password)
            .map_err(|e| Trouble::new(e.to_string(), "nothing was changed: choose another", Exit::Usage))?;
        Ok(password)
    }

    /// Looks at the changed system: what stops a login besides the password. The checks are those of root.
    fn other_obstacles(&self, global: &Global) -> anyhow::Result<Vec<Finding>> {
        if self.user != ROOT {
            return Ok(Vec::new());
        }
        let selection = Selection { topics: vec![Topic::Access], ..Selection::default() };
        let found = check::run(&Arc::new(global.target()?), &selection, Limits::default());
        // what closes the account was told with the plan
        Ok(found.into_iter().filter(|f| diagnosis::matters(f) && f.id != "root-account-usable").collect())
    }
}

/// Reads the standard input to its end: one line, whose newline is not part of the password.
fn one_line() -> anyhow::Result<Secret> {
    // never grown, so that no copy of it stays behind
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * LENGTH_MAX));
    let limit = LENGTH_MAX as u64 + 2;
    io::stdin().lock().take(limit).read_to_end(&mut bytes).context("reading the password")?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(Secret::new(std::mem::take(&mut *bytes)))
}

fn verify(target: &crate::target::Target, request: &SetPassword) -> Finding {
    let finding = match password::verify(target, request) {
        Ok(true) => Finding::ok("the new password fits the line that login reads"),
        Ok(false) => Finding::fail("the new password does not fit the line that login reads"),
        Err(e) => Finding::fail(format!("{e:#}")),
    };
    finding.of(ID, Topic::Access).about(&request.user)
}
