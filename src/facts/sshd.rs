//! What sshd does with a user who logs in: its configuration read as sshd reads it.
//!
//! The first value of a keyword wins; `Include` stands for its files where it stands; a `Match` block that holds wins
//! over what stands outside (OpenSSH servconf.c). Options of the command line come before the file. Keywords that
//! have nothing to do with logging in are not kept. Who connects from where is a [`Connection`]; what is not known of
//! it makes a block hold [`Holds::Perhaps`].

mod criteria;
mod defaults;
mod lines;
#[cfg(test)]
mod tests;

use anyhow::Result;

use crate::facts::os::Os;
use crate::root::Root;

pub use criteria::{Connection, Holds};
pub use defaults::{Defaults, RootLogin};
pub use lines::Line;

use criteria::user_matches;

/// Where the configuration is, and where openSUSE keeps the vendor's copy that counts without it.
const FILES: [&str; 2] = ["etc/ssh/sshd_config", "usr/etc/ssh/sshd_config"];
/// Where services keep options for sshd's command line.
const OPTIONS: [&str; 3] = ["etc/sysconfig/sshd", "etc/sysconfig/sshd-permitrootlogin", "etc/default/ssh"];

/// The configuration of an sshd.
#[derive(Debug, Clone)]
pub struct Sshd {
    lines: Vec<Line>,
    blocks: Vec<lines::Block>,
    defaults: Defaults,
}

/// A value and the line that sets it; none is the default of this sshd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// `path:line`, or none.
    pub source: Option<String>,
}

/// Why sshd refuses a user whatever the method: a line of `DenyUsers` and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The keyword.
    pub keyword: &'static str,
    /// Its patterns.
    pub patterns: Vec<String>,
    /// `path:line` of the first of them.
    pub source: String,
}

/// What sshd does with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `PermitRootLogin`.
    pub root_login: Setting<RootLogin>,
    /// `PasswordAuthentication`.
    pub password: Setting<bool>,
    /// `KbdInteractiveAuthentication`, once `ChallengeResponseAuthentication`.
    pub keyboard: Setting<bool>,
    /// `UsePAM`.
    pub pam: Setting<bool>,
    /// `AuthenticationMethods`: lists of methods, one of which has to be passed whole; empty takes any.
    pub methods: Setting<Vec<String>>,
    /// The list that refuses the user.
    pub refusal: Option<Refusal>,
    /// Whether only a list that is about addresses decides: then other addresses are treated otherwise.
    pub is_by_address: bool,
}

impl Sshd {
    /// Reads the configuration of a system; `None` where there is neither an sshd nor a file of it.
    ///
    /// # Errors
    /// A file cannot be read; sshd would not start either.
    pub fn of(root: &Root, os: &Os) -> Result<Option<Self>> {
        let file = FILES.into_iter().find(|path| root.exists(path));
        if file.is_none() && root.find_program("sshd").is_none() {
            return Ok(None);
        }
        let mut options = Vec::new();
        for path in OPTIONS {
            options.extend(lines::options(&root.text_opt(path)?.unwrap_or_default(), path));
        }
        Self::read(root, file, options, Defaults::of(root, os)?).map(Some)
    }

    fn read(root: &Root, file: Option<&str>, options: Vec<Line>, defaults: Defaults) -> Result<Self> {
        let mut reader = lines::Reader::new(root, options);
        if let Some(file) = file {
            reader.read(file)?;
        }
        let (lines, blocks) = reader.done();
        Ok(Self { lines, blocks, defaults })
    }

    /// Returns what is done with a connection; `perhaps` says which of the blocks that are not decided hold.
    pub fn policy(&self, connection: &Connection, perhaps: &[usize]) -> Policy {
        let view = View::of(self, connection, perhaps);
        let keyboard = view.flag(
            &["kbdinteractiveauthentication", "challengeresponseauthentication", "skeyauthentication"],
            true,
        );
        let (refusal, is_by_address) = view.refusal(connection);
        Policy {
            root_login: view
                .first(&["permitrootlogin"], RootLogin::of)
                .unwrap_or(Setting { value: self.defaults.root_login, source: None }),
            password: view.flag(&["passwordauthentication"], self.defaults.password),
            keyboard,
            pam: view.flag(&["usepam"], self.defaults.pam),
            methods: view.methods(),
            refusal,
            is_by_address,
        }
    }

    /// Returns the blocks that hold for some connections like this one, by number and their criteria.
    pub fn undecided(&self, connection: &Connection) -> Vec<(usize, String)> {
        let is_open = |number: &usize| self.holds(*number, connection) == Holds::Perhaps;
        (0..self.blocks.len()).filter(is_open).map(|number| (number, self.blocks[number].shown())).collect()
    }

    fn holds(&self, number: usize, connection: &Connection) -> Holds {
        let block = &self.blocks[number];
        // a block in a file that was included from within another holds only where that one does
        let outer = block.within.map_or(Holds::Yes, |outer| self.holds(outer, connection));
        outer.and(block.criteria.hold(connection))
    }

    /// What this sshd does when no line says otherwise.
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }
}

impl Policy {
    /// Whether root gets in with a password.
    pub fn root_by_password(&self) -> bool {
        self.refusal.is_none() && self.root_login.value == RootLogin::Yes && self.takes_passwords()
    }

    /// Whether anybody gets in with a password alone.
    pub fn takes_passwords(&self) -> bool {
        let by_keyboard = self.keyboard.value && self.pam.value;
        let method = |name: &str| match name.split(':').next() {
            Some("password") => self.password.value,
            Some("keyboard-interactive") => by_keyboard,
            _ => false,
        };
        if self.methods.value.is_empty() {
            return self.password.value || by_keyboard;
        }
        self.methods.value.iter().any(|list| list.split(',').all(method))
    }
}

/// The lines that count for a connection: first those of the blocks that hold, then the others.
struct View<'s> {
    matched: Vec<&'s Line>,
    global: Vec<&'s Line>,
}

impl<'s> View<'s> {
    fn of(sshd: &'s Sshd, connection: &Connection, perhaps: &[usize]) -> Self {
        let counts: Vec<bool> = (0..sshd.blocks.len())
            .map(|number| match sshd.holds(number, connection) {
                Holds::Yes => true,
                Holds::No => false,
                Holds::Perhaps => perhaps.contains(&number),
            })
            .collect();
        let is_in = |line: &&Line| line.block.is_some_and(|block| counts[block]);
        // `Match all` holds before anybody connects as well
        let is_always = |line: &&Line| line.block.is_none_or(|block| sshd.is_always(block));
        Self {
            matched: sshd.lines.iter().filter(is_in).collect(),
            global: sshd.lines.iter().filter(is_always).collect(),
        }
    }

    fn first<T>(&self, keywords: &[&str], parse: fn(&str) -> Option<T>) -> Option<Setting<T>> {
        self.matched.iter().chain(&self.global).find_map(|line| {
            let value = keywords.contains(&line.keyword.as_str()).then(|| parse(line.values.first()?))??;
            Some(Setting { value, source: Some(line.source()) })
        })
    }

    fn flag(&self, keywords: &[&str], default: bool) -> Setting<bool> {
        let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
            "yes" | "true" => Some(true),
            "no" | "false" => Some(false),
            _ => None,
        };
        self.first(keywords, parse).unwrap_or(Setting { value: default, source: None })
    }

    /// The first line counts, with all its lists.
    fn methods(&self) -> Setting<Vec<String>> {
        let line =
            self.matched.iter().chain(&self.global).find(|line| line.keyword == "authenticationmethods");
        let Some(line) = line else { return Setting { value: Vec::new(), source: None } };
        let mut value = line.values.clone();
        value.retain(|list| list != "any");
        Setting { value, source: Some(line.source()) }
    }

    /// The lines of a list add up; those of the blocks that hold take the place of the others.
    fn list(&self, keyword: &str) -> Option<(Vec<String>, String)> {
        let of = |lines: &[&Line]| {
            let mut lines = lines.iter().filter(|line| line.keyword == keyword).peekable();
            let source = lines.peek()?.source();
            Some((lines.flat_map(|line| line.values.clone()).collect(), source))
        };
        of(&self.matched).or_else(|| of(&self.global))
    }

    /// auth.c, `allowed_user`: a deny list that names the user, or an allow list that does not.
    fn refusal(&self, connection: &Connection) -> (Option<Refusal>, bool) {
        let mut is_by_address = false;
        for (keyword, lower, denies, by_group) in [
            ("DenyUsers", "denyusers", true, false),
            ("AllowUsers", "allowusers", false, false),
            ("DenyGroups", "denygroups", true, true),
            ("AllowGroups", "allowgroups", false, true),
        ] {
            let Some((patterns, source)) = self.list(lower) else { continue };
            let named = patterns.iter().map(|pattern| {
                if by_group { connection.has_group(pattern) } else { user_matches(pattern, connection) }
            });
            let named = named.fold(Holds::No, Holds::or);
            is_by_address |= named == Holds::Perhaps;
            // an address that is not known is none that a list names
            if (named == Holds::Yes) == denies {
                return (Some(Refusal { keyword, patterns, source }), is_by_address);
            }
        }
        (None, is_by_address)
    }
}

impl Sshd {
    fn is_always(&self, number: usize) -> bool {
        let block = &self.blocks[number];
        block.criteria.is_all() && block.within.is_none_or(|outer| self.is_always(outer))
    }
}
