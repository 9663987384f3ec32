//! How a new password is hashed: as the target's own `passwd` would, if its libcrypt can, else SHA-512.
//!
//! PAM decides where there is one: the arguments of pam_unix, then `ENCRYPT_METHOD` of login.defs. MD5 and DES are
//! never written, whatever a file asks for. A hash that stands in a customer's file is held against a password only
//! when it costs what a new one would: its parameters could ask for hours and gigabytes.

use anyhow::{Context, Result, anyhow};
use sha_crypt::{Algorithm, ShaCrypt};
use yescrypt::{Mode, PasswordHasher, PasswordVerifier, Yescrypt};
use zeroize::Zeroize;

use crate::facts::accounts::defaults::Defaults;
use crate::random;
use crate::root::{Kind, Root};
use crate::secret::Secret;

/// Files of pam.d that say how `passwd` hashes; the first one with pam_unix counts.
const STACKS: [&str; 5] = [
    "etc/pam.d/common-password",
    "etc/pam.d/system-auth",
    "etc/pam.d/passwd",
    "usr/etc/pam.d/common-password",
    "usr/lib/pam.d/system-auth",
];

/// Directories of libraries; those of Debian's multiarch are below them.
const LIBRARY_DIRS: [&str; 4] = ["lib64", "usr/lib64", "lib", "usr/lib"];

/// Rounds of SHA-crypt unless somebody says otherwise, and what a server gets through in a second.
const SHA_ROUNDS: u32 = 5000;
const SHA_ROUNDS_MAX: u32 = 1_000_000;

/// Cost of yescrypt unless somebody says otherwise (16 MiB), and the highest that is followed (64 MiB).
const YESCRYPT_COST: u32 = 5;
const YESCRYPT_COST_MAX: u32 = 7;

/// The longest hash that is looked at; libxcrypt's own bound (crypt.h, `CRYPT_OUTPUT_SIZE`).
const HASH_MAX: usize = 384;

/// How a new password is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `$5$`, with so many rounds.
    Sha256(u32),
    /// `$6$`, with so many rounds.
    Sha512(u32),
    /// `$y$`, at this cost of crypt(5).
    Yescrypt(u32),
}

impl Method {
    /// Returns what the target's configuration asks for and its libcrypt can.
    ///
    /// # Errors
    /// A file that says so cannot be read.
    pub fn of(root: &Root) -> Result<Self> {
        let defaults = Defaults::of(root)?;
        let number = |name: &str| defaults.get(name).and_then(|(value, _)| value.parse::<u32>().ok());
        let asked = pam(root)?.unwrap_or_default();
        let word = match (asked.word, defaults.get("ENCRYPT_METHOD")) {
            (Some(word), _) => word,
            (None, Some((word, _))) => word.to_ascii_lowercase(),
            (None, None) => "sha512".to_owned(),
        };
        let rounds = || {
            let asked = asked.rounds.or_else(|| number("SHA_CRYPT_MAX_ROUNDS"));
            asked.map_or(SHA_ROUNDS, |rounds| rounds.clamp(1000, SHA_ROUNDS_MAX))
        };
        Ok(match word.as_str() {
            "sha256" => Self::Sha256(rounds()),
            // GOST yescrypt is in the same libcrypt, and yescrypt is what it is made of
            "yescrypt" | "gost_yescrypt" if has_yescrypt(root)? => {
                let asked = asked.rounds.or_else(|| number("YESCRYPT_COST_FACTOR"));
                Self::Yescrypt(asked.map_or(YESCRYPT_COST, |cost| cost.clamp(1, YESCRYPT_COST_MAX)))
            }
            "sha512" => Self::Sha512(rounds()),
            _ => Self::Sha512(SHA_ROUNDS),
        })
    }

    /// Returns the hash of a password with a new salt.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub fn hash(self, password: &Secret) -> Result<String> {
        let mut salt = [0; 16];
        random::fill(&mut salt).context("drawing a salt")?;
        let clear = password.expose();
        let text = match self {
            Self::Yescrypt(cost) => {
                yescrypt(cost)?.hash_password_with_salt(clear, &salt).map(|hash| hash.to_string())
            }
            // 12 bytes are the 16 characters that count
            Self::Sha256(_) | Self::Sha512(_) => {
                self.sha()?.hash_password_with_salt(clear, &salt[..12]).map(|hash| hash.to_string())
            }
        };
        salt.zeroize();
        let text = text.map_err(|e| anyhow!("hashing the password: {e}"))?;
        Ok(text.replacen(&format!("rounds={SHA_ROUNDS}$"), "", 1))
    }

    /// Whether a hash is of this password, and made as this method makes it.
    pub fn made(self, hash: &[u8], password: &Secret) -> bool {
        let Some(hash) = std::str::from_utf8(hash).ok().filter(|hash| hash.len() <= HASH_MAX) else {
            return false;
        };
        let Some(rest) = self.prefix().ok().and_then(|prefix| hash.strip_prefix(&prefix)) else {
            return false;
        };
        // without a prefix of its own the usual number of rounds is meant, and another would follow here
        if rest.starts_with("rounds=") {
            return false;
        }
        let verified = match self {
            Self::Yescrypt(cost) => {
                yescrypt(cost).map(|it| it.verify_password(password.expose(), hash).is_ok())
            }
            Self::Sha256(_) | Self::Sha512(_) => {
                self.sha().map(|it| it.verify_password(password.expose(), hash).is_ok())
            }
        };
        verified.unwrap_or(false)
    }

    fn sha(self) -> Result<ShaCrypt> {
        let (algorithm, rounds) = match self {
            Self::Sha256(rounds) => (Algorithm::Sha256Crypt, rounds),
            Self::Sha512(rounds) => (Algorithm::Sha512Crypt, rounds),
            Self::Yescrypt(_) => (Algorithm::Sha512Crypt, SHA_ROUNDS),
        };
        let params =
            sha_crypt::Params::new(rounds).map_err(|e| anyhow!("hashing with {rounds} rounds: {e}"))?;
        Ok(ShaCrypt::new(algorithm, params))
    }

    /// Returns what comes before the salt.
    fn prefix(self) -> Result<String> {
        Ok(match self {
            Self::Sha256(SHA_ROUNDS) => "$5$".to_owned(),
            Self::Sha512(SHA_ROUNDS) => "$6$".to_owned(),
            Self::Sha256(rounds) => format!("$5$rounds={rounds}$"),
            Self::Sha512(rounds) => format!("$6$rounds={rounds}$"),
            Self::Yescrypt(cost) => format!("$y${}$", yescrypt_params(cost)?),
        })
    }
}

fn yescrypt(cost: u32) -> Result<Yescrypt> {
    Ok(yescrypt_params(cost)?.into())
}

/// Returns what a cost of crypt(5) stands for (libxcrypt lib/crypt-yescrypt.c, `gensalt_yescrypt_rn`).
fn yescrypt_params(cost: u32) -> Result<yescrypt::Params> {
    let (n, r) = if cost < 3 { (1 << (cost + 9), 8) } else { (1 << (cost + 7), 32) };
    yescrypt::Params::new(Mode::default(), n, r, 1).map_err(|e| anyhow!("hashing at cost {cost}: {e}"))
}

/// What pam_unix is told.
#[derive(Debug, Default)]
struct Asked {
    word: Option<String>,
    rounds: Option<u32>,
}

/// Returns what pam_unix is told when it changes a password, or `None` where there is no such line. Of several words
/// the last counts (Linux-PAM modules/pam_unix/support.c, `_set_ctrl`).
fn pam(root: &Root) -> Result<Option<Asked>> {
    for stack in STACKS {
        let text = root.text_opt(stack)?.unwrap_or_default().replace("\\\n", " ");
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((before, arguments)) = line.split_once("pam_unix.so") else { continue };
            if before.trim_start().trim_start_matches('-').split_whitespace().next() != Some("password") {
                continue;
            }
            let mut asked = Asked::default();
            for argument in arguments.split_whitespace() {
                match argument.split_once('=') {
                    Some(("rounds", number)) => asked.rounds = number.parse().ok(),
                    None if is_method(argument) => asked.word = Some(argument.to_owned()),
                    _ => {}
                }
            }
            return Ok(Some(asked));
        }
    }
    Ok(None)
}

fn is_method(word: &str) -> bool {
    ["md5", "bigcrypt", "sha256", "sha512", "blowfish", "gost_yescrypt", "yescrypt"].contains(&word)
}

/// Whether the target's libcrypt knows yescrypt: libxcrypt from 4.3 has its prefix in its table, glibc's own has not.
fn has_yescrypt(root: &Root) -> Result<bool> {
    for dir in LIBRARY_DIRS {
        let multiarch = root.read_dir(dir)?.into_iter().filter(|entry| entry.name.ends_with("-linux-gnu"));
        let below: Vec<String> = multiarch.map(|entry| format!("{dir}/{}", entry.name)).collect();
        for dir in std::iter::once(dir.to_owned()).chain(below) {
            for name in ["libcrypt.so.1", "libcrypt.so.2"] {
                let path = format!("{dir}/{name}");
                let is_file = root.stat_opt(&path)?.is_some_and(|stat| stat.kind == Kind::File);
                let bytes =
                    if is_file { root.read_opt(&path).context("looking for yescrypt")? } else { None };
                if bytes.is_some_and(|bytes| memchr::memmem::find(&bytes, b"$y$\0").is_some()) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}
