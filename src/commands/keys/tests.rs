//! Vectors computed with nova's own class and OpenSSL; the guest's private numbers are reduced modulo the prime less
//! one, which gives the same powers.

use base64::Engine;
use cbc::cipher::BlockModeEncrypt;
use cbc::cipher::block_padding::Pkcs7;
use proptest::prelude::*;

use super::*;

struct Vector {
    password: &'static str,
    private: u128,
    host_public: &'static str,
    guest_public: &'static str,
    md5: &'static str,
    sha256: &'static str,
}

const VECTORS: [Vector; 4] = [
    Vector {
        password: "",
        private: 84062141429655821334597581423536,
        host_public: "129095537238110053564884995097055",
        guest_public: "43628645992858346834264072578711",
        md5: "7FfGqcEU9sFNUPCef+Ob3A==",
        sha256: "5Of63WU+izLE7dEb1lExOQ==",
    },
    Vector {
        password: "ccccccccccccccccc",
        private: 53879272260733852485171770188191,
        host_public: "116923497080665424320467387500048",
        guest_public: "119210971163043037954724193275971",
        md5: "JZBxer6r5naMhztZ4mrpcI7nK1bZq95CmSfbl2NNINQ=",
        sha256: "lEg5cfsFzb9l1m3SGJSPebLUI9DlhwH98Oprlpgh6YM=",
    },
    Vector {
        password: "pässwörd-☃-𝄞",
        private: 56356340920535536964386555926242,
        host_public: "68553426124953435600463745280421",
        guest_public: "90740118867531189578287158452463",
        md5: "yMhDu1fb0ht882s3Utfss2l1I5yensPllhOtjVK14G8=",
        sha256: "ZOpxvleOmlkCaVN4XrGd0OzxlZ8do1iM6XW6HFKDGkQ=",
    },
    Vector {
        password: "aB3$%^&*()_+{}",
        private: 58129211587153105989535081328883,
        host_public: "72790374136676797894204007182699",
        guest_public: "73893436131599247465132480826390",
        md5: "4gQxRQBrM9qUv+yzXJkyhQ==",
        sha256: "R31lGfP7eEkkSZWw0fOV9g==",
    },
];

fn base64(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn public(text: &str) -> PublicKey {
    PublicKey::parse(&format!("\"{text}\"")).unwrap()
}

/// What a host sends whose half is `theirs` and who encrypts these clear bytes, unpadded to PKCS#7 first.
fn sent(derive: fn(&[u8]) -> KeyAndIv, passphrase: &str, clear: &[u8]) -> Vec<u8> {
    let key = derive(passphrase.as_bytes());
    let cipher = cbc::Encryptor::<Aes128>::new_from_slices(&key[..BLOCK], &key[BLOCK..]).unwrap();
    let mut room = vec![0; clear.len() + BLOCK];
    room[..clear.len()].copy_from_slice(clear);
    cipher.encrypt_padded::<Pkcs7>(&mut room, clear.len()).unwrap().to_vec()
}

fn raw(passphrase: &str, blocks: &[u8]) -> Vec<u8> {
    let key = md5_key(passphrase.as_bytes());
    let cipher = cbc::Encryptor::<Aes128>::new_from_slices(&key[..BLOCK], &key[BLOCK..]).unwrap();
    let mut room = blocks.to_vec();
    cipher.encrypt_padded::<NoPadding>(&mut room, blocks.len()).unwrap().to_vec()
}

fn opened(passphrase: &str, ciphertext: &[u8]) -> Option<Vec<u8>> {
    decrypt(ciphertext, md5_key(passphrase.as_bytes())).map(|secret| secret.expose().to_vec())
}

#[test]
fn vectors_of_novas_own_class_are_opened_with_both_digests() {
    for vector in VECTORS {
        for ciphertext in [vector.md5, vector.sha256] {
            let (mut keys, now) = (Keys::default(), Instant::now());
            let reply = keys.exchange(public(vector.host_public), vector.private, now);
            assert_eq!((reply.code(), reply.message()), ("D0", vector.guest_public));
            let (password, _) = keys.open(&base64(ciphertext), now).unwrap();
            assert_eq!(password.expose(), vector.password.as_bytes());
        }
    }
}

#[test]
fn degenerate_public_values_are_refused() {
    let prime = "162259276829213363391578010288127";
    let around = |last: &str| format!("{}{last}", &prime[..prime.len() - 3]);
    let bad = [
        "0",
        "1",
        &around("126"),
        prime,
        &around("128"),
        &format!("{prime}0"),
        "-2",
        "",
        " ",
        "2.0",
        "0x10",
        "\u{662}",
    ];
    for text in bad {
        assert_eq!(PublicKey::parse(&format!("\"{text}\"")).unwrap_err().code(), "500", "{text}");
    }
    for text in ["2", "0000002", &around("125")] {
        assert!(PublicKey::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn a_value_of_small_order_gives_no_secret() {
    // 3 divides the order of the group, so this power has order 3 and every third exponent gives 1
    let small = power(3, (PRIME - 1) / 3);
    assert!(small > 1 && power(small, 3) == 1);
    let mut keys = Keys::default();
    assert_eq!(keys.exchange(PublicKey(small), 9, Instant::now()).code(), "500");
}

#[test]
fn a_password_without_an_exchange_is_refused() {
    let reply = Keys::default().open(&base64(VECTORS[0].md5), Instant::now()).unwrap_err();
    assert_eq!((reply.code(), reply.message()), ("500", "Password without key exchange"));
}

#[test]
fn two_exchanges_that_overlap_do_not_destroy_each_other() {
    let (mut keys, now) = (Keys::default(), Instant::now());
    for vector in &VECTORS {
        keys.exchange(public(vector.host_public), vector.private, now);
    }
    for vector in &VECTORS {
        let (password, number) = keys.open(&base64(vector.md5), now).unwrap();
        assert_eq!(password.expose(), vector.password.as_bytes());
        keys.forget(number);
        assert!(keys.open(&base64(vector.md5), now).is_err(), "the key was wiped");
    }
}

#[test]
fn a_key_waits_five_minutes() {
    let (mut keys, now) = (Keys::default(), Instant::now());
    keys.exchange(public(VECTORS[1].host_public), VECTORS[1].private, now);
    let ciphertext = base64(VECTORS[1].md5);
    assert!(keys.open(&ciphertext, now + Duration::from_secs(299)).is_ok());
    assert!(keys.open(&ciphertext, now + Duration::from_secs(300)).is_err());
}

#[test]
fn only_whole_padding_one_line_feed_and_plain_text_are_a_password() {
    let good: [(&[u8], &str); 5] = [
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"\n", ""),
        (b"fifteen bytes!!\n", "fifteen bytes!!"),
        ("p\u{e4}ss \u{2603}\n".as_bytes(), "p\u{e4}ss \u{2603}"),
    ];
    for (clear, password) in good {
        assert_eq!(opened("7", &sent(md5_key, "7", clear)), Some(password.as_bytes().to_vec()));
    }
    let bad: [&[u8]; 6] =
        [b"secret", b"secret\n\n", b"two\nlines\n", b"nul\0\n", b"\xff\xfe\n", b"tab\there\n"];
    for clear in bad {
        assert_eq!(opened("7", &sent(md5_key, "7", clear)), None, "{clear:?}");
    }
    let padding: [&[u8; 16]; 3] =
        [b"secret\n\x09\x09\x09\x09\x09\x09\x09\x08\x09", b"secret\n         ", b"fifteen bytes!\n\0"];
    for block in padding {
        assert_eq!(opened("7", &raw("7", block)), None, "{block:?}");
    }
    assert_eq!(opened("7", b"short"), None);
    assert_eq!(opened("7", b""), None);
}

#[test]
fn a_flood_of_exchanges_keeps_the_newest() {
    let (mut keys, now) = (Keys::default(), Instant::now());
    for _ in 0..1000 {
        keys.exchange(public("3"), 11, now);
    }
    keys.exchange(public(VECTORS[1].host_public), VECTORS[1].private, now);
    assert_eq!(keys.waiting.len(), KEYS_MAX);
    assert!(keys.open(&base64(VECTORS[1].md5), now).is_ok());
}

proptest! {
    #[test]
    fn both_sides_get_the_same_number(host in 2u128..1 << 80, guest in 2u128..u128::MAX) {
        prop_assert_eq!(power(power(BASE, host), guest), power(power(BASE, guest), host));
    }

    #[test]
    fn any_ciphertext_is_opened_or_refused(ciphertext in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = opened("162", &ciphertext);
    }

    #[test]
    fn a_password_of_any_length_comes_through(password in "[ -~\u{a1}-\u{2fff}]{0,200}") {
        for derive in [md5_key, sha256_key] {
            let clear = format!("{password}\n");
            let found = decrypt(&sent(derive, "42", clear.as_bytes()), derive(b"42")).unwrap();
            prop_assert_eq!(found.expose(), password.as_bytes());
        }
    }
}
