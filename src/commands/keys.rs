//! `keyinit`: the key exchange before a password, and what decrypts the password.
//!
//! Diffie-Hellman over the prime 2^107-1 with base 5; the passphrase is the shared number in decimal, key and IV come
//! from it by OpenSSL's one-round derivation (`EVP_BytesToKey`), and the cipher is AES-128-CBC. nova names no digest:
//! its host's openssl decides, MD5 before 1.1.0 and SHA-256 since. Which one it was shows in the padding, the final
//! line feed and the text, all of which must be right.

use std::time::{Duration, Instant};

use aes::Aes128;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::NoPadding};
use md5::Md5;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Reply;
use crate::secret::Secret;

/// nova/virt/xenapi/agent.py, `SimpleDH._prime`; 2^107-1.
const PRIME: u128 = (1 << 107) - 1;
const BASE: u128 = 5;

/// How long a key waits for its password. nova sends it right after the exchange.
const KEPT: Duration = Duration::from_secs(300);

/// The most keys that wait at once: exchanges of overlapping API calls must not destroy each other.
const KEYS_MAX: usize = 16;

const BLOCK: usize = 16;

/// The host's half of an exchange: 2 to the prime less 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(u128);

impl PublicKey {
    /// Reads it as JSON: decimal text, or a number as hosts before July 2011 sent it.
    ///
    /// # Errors
    /// It is none, or one with which everybody knows the shared number.
    pub fn parse(json: &str) -> Result<Self, Reply> {
        let digits = json.trim().trim_matches('"').trim();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Reply::failed("keyinit: the public key is no decimal number"));
        }
        let number = digits.trim_start_matches('0').parse::<u128>().unwrap_or(u128::MAX);
        if (2..PRIME - 1).contains(&number) {
            return Ok(Self(number));
        }
        Err(Reply::failed("keyinit: the public key is not between 2 and the prime less 2"))
    }
}

/// The keys that wait for a password.
#[derive(Debug, Default)]
pub struct Keys {
    waiting: Vec<Key>,
    made: u64,
}

#[derive(Debug)]
struct Key {
    number: u64,
    /// The shared number in decimal: what key and IV are derived from.
    passphrase: Secret,
    since: Instant,
}

/// Names the key that opened a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyNumber(u64);

impl Keys {
    /// Makes an exchange with the random number `private`, and answers with the own public key.
    pub fn exchange(&mut self, theirs: PublicKey, private: u128, now: Instant) -> Reply {
        let private = Zeroizing::new(private);
        let shared = Zeroizing::new(power(theirs.0, *private));
        // their number has so small an order that the result is known to everybody
        if *shared <= 1 || *shared == PRIME - 1 {
            return Reply::failed("keyinit: the public key gives no secret");
        }
        self.expire(now);
        if self.waiting.len() == KEYS_MAX {
            self.waiting.remove(0);
        }
        self.made += 1;
        let passphrase = Secret::new(shared.to_string().into_bytes());
        self.waiting.push(Key { number: self.made, passphrase, since: now });
        Reply::key(power(BASE, *private).to_string())
    }

    /// Decrypts a password with the key that fits, the newest first. The key stays until [`Keys::forget`], so that a
    /// password that could not be set can be sent again.
    ///
    /// # Errors
    /// There was no exchange, or no key opens it.
    pub fn open(&mut self, ciphertext: &[u8], now: Instant) -> Result<(Secret, KeyNumber), Reply> {
        self.expire(now);
        if self.waiting.is_empty() {
            return Err(Reply::failed("Password without key exchange"));
        }
        for key in self.waiting.iter().rev() {
            for derive in [md5_key, sha256_key] {
                if let Some(password) = decrypt(ciphertext, derive(key.passphrase.expose())) {
                    return Ok((password, KeyNumber(key.number)));
                }
            }
        }
        Err(Reply::failed("Invalid password data received"))
    }

    /// Wipes the key of a password that was set.
    pub fn forget(&mut self, number: KeyNumber) {
        self.waiting.retain(|key| key.number != number.0);
    }

    /// Wipes the keys whose password never came.
    pub fn expire(&mut self, now: Instant) {
        self.waiting.retain(|key| now.duration_since(key.since) < KEPT);
    }
}

type KeyAndIv = Zeroizing<[u8; 2 * BLOCK]>;

/// D1 = MD5(p) is the key, D2 = MD5(D1 p) the IV.
fn md5_key(passphrase: &[u8]) -> KeyAndIv {
    let mut both = Zeroizing::new([0; 2 * BLOCK]);
    let first = Md5::digest(passphrase);
    both[..BLOCK].copy_from_slice(&first);
    both[BLOCK..].copy_from_slice(&Md5::new().chain_update(first).chain_update(passphrase).finalize());
    both
}

/// D1 = SHA-256(p) holds both.
fn sha256_key(passphrase: &[u8]) -> KeyAndIv {
    let mut both = Zeroizing::new([0; 2 * BLOCK]);
    both.copy_from_slice(&Sha256::digest(passphrase));
    both
}

/// Returns the password, or `None` when anything says that this is not its key.
fn decrypt(ciphertext: &[u8], key: KeyAndIv) -> Option<Secret> {
    if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK) {
        return None;
    }
    let cipher = cbc::Decryptor::<Aes128>::new_from_slices(&key[..BLOCK], &key[BLOCK..]).ok()?;
    let mut clear = Zeroizing::new(ciphertext.to_vec());
    cipher.decrypt_padded::<NoPadding>(&mut clear).ok()?;
    let padding = usize::from(*clear.last()?);
    if !(1..=BLOCK).contains(&padding) {
        return None;
    }
    let (text, tail) = clear.split_at(clear.len() - padding);
    if tail.iter().any(|byte| usize::from(*byte) != padding) {
        return None;
    }
    // nova adds exactly one
    let text = text.strip_suffix(b"\r\n").or_else(|| text.strip_suffix(b"\n"))?;
    let is_text = std::str::from_utf8(text).is_ok_and(|text| !text.chars().any(char::is_control));
    is_text.then(|| Secret::new(text.to_vec()))
}

/// Returns `base` to the power of `exponent` modulo the prime.
fn power(base: u128, exponent: u128) -> u128 {
    let mut result = 1;
    for bit in (0..u128::BITS).rev() {
        result = product(result, result);
        if exponent >> bit & 1 == 1 {
            result = product(result, base);
        }
    }
    result
}

/// Returns the product modulo the prime, by shifting and adding: both are below 2^107, so nothing overflows.
fn product(left: u128, right: u128) -> u128 {
    let mut sum = 0;
    for bit in (0..107).rev() {
        sum = (sum << 1) % PRIME;
        if right >> bit & 1 == 1 {
            sum = (sum + left) % PRIME;
        }
    }
    sum
}

#[cfg(test)]
mod tests;
