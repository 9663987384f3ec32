//! What lies in the store and nobody takes away: `agent refuse` for a request, `agent tidy` for answers.
//!
//! Both change the host's store, which no journal gives back, so both ask first.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::agent::{self, Place, tidy};
use crate::cli::Global;
use crate::cli::trouble::{self, Trouble};
use crate::report::Exit;
use crate::root::{Kind, Root};
use crate::ui::{self, Answer, Ui};

const REFUSE_HELP: &str = "\
The host gets code 500 at once instead of waiting for its time limit, and an agent
that died of the request does not die of it again. A request that an agent is at
work on is answered twice: stop the agent first.";

const TIDY_HELP: &str = "\
An answer that has been there for ten seconds was read by the host or never will be.
Those go; one to a request that still waits stays. Where there are more than the
store can list, all go at once, as soon as nothing was asked or answered for ten
seconds. Nothing gives them back, and nobody has use of them.";

#[derive(Debug, Args)]
#[command(after_long_help = REFUSE_HELP)]
pub(super) struct Refuse {
    /// The id of the request, as doctor --only requests-answered names it
    id: String,
    /// Ask nothing
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = TIDY_HELP)]
pub(super) struct Tidy {
    /// Ask nothing
    #[arg(short, long)]
    yes: bool,
}

impl Refuse {
    pub(super) fn run(&self, global: &Global, place: &Place) -> anyhow::Result<ExitCode> {
        expect_no_dump(global)?;
        agree(self.yes, "agent refuse", &format!("Refuse the request {} of the host?", self.id))?;
        let mut store = place.store()?;
        let Some(answer) = agent::refuse(&mut *store, &self.id)? else {
            let hint = "novactl doctor --only requests-answered names those that wait";
            let text = format!("no request {} waits", self.id);
            return Err(Trouble::new(text, hint, Exit::CannotJudge).into());
        };
        print(global, &answer)
    }
}

impl Tidy {
    pub(super) fn run(&self, global: &Global, place: &Place) -> anyhow::Result<ExitCode> {
        expect_no_dump(global)?;
        agree(self.yes, "agent tidy", "Remove the old answers in data/guest?")?;
        let mut store = place.store()?;
        let seconds = tidy::STANDS.as_secs();
        ui::progress(global.volume(), &format!("leaving the host {seconds} s to read what is new"));
        match tidy::tidy(&mut *store, tidy::STANDS)? {
            Some(count) => print(global, &format!("removed {count} answers")),
            None => print(global, "removed all answers"),
        }
    }
}

fn expect_no_dump(global: &Global) -> anyhow::Result<()> {
    let named = global.xenstore.as_deref().map(std::path::absolute).transpose()?;
    let is_file = |path: &PathBuf| {
        let stat = Root::live().and_then(|root| root.stat_opt(&path.to_string_lossy()));
        stat.is_ok_and(|stat| stat.is_some_and(|stat| stat.kind == Kind::File))
    };
    if let Some(dump) = named.filter(is_file) {
        let text = format!("{} is a dump: the host does not hear what is written there", dump.display());
        return Err(Trouble::new(text, "run it on the server", Exit::Usage).into());
    }
    Ok(())
}

fn agree(yes: bool, command: &str, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    match ui::confirm(question)? {
        Answer::Yes => Ok(()),
        Answer::No => Err(trouble::declined(&format!("{command} was declined"))),
        Answer::NobodyThere => {
            let text = format!("{command} asks first, and there is no terminal to ask on");
            Err(Trouble::new(text, "--yes does it without asking", Exit::Declined).into())
        }
    }
}

fn print(global: &Global, text: &str) -> anyhow::Result<ExitCode> {
    if !global.quiet {
        let mut ui = Ui::stdout(global.color);
        ui.document(text).and_then(|()| ui.flush()).context("writing the answer")?;
    }
    Ok(Exit::Ok.into())
}
