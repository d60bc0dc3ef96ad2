//! Bytes that only a passphrase opens again.
//!
//! The form, which another program can read: the line `sapphire-edge sealed 1`; memory in KiB, passes and lanes of Argon2id, each
//! four bytes, the most significant first; 16 bytes of salt; 12 bytes of nonce; then AES-256-GCM (NIST SP 800-38D) of the content
//! under the key of 32 bytes that Argon2id makes of passphrase and salt, with the tag of 16 bytes at its end. All before the
//! nonce's end is authenticated too.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::Secret;
use super::stretch::{Cost, KEY, key};

const MAGIC: &[u8] = b"sapphire-edge sealed 1\n";
const SALT: usize = 16;
const HEAD: usize = MAGIC.len() + 12 + SALT + NONCE_LEN;

/// Why bytes were not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// They are of another form.
    #[error("this is no file that a box has sealed; choose another one")]
    NotSealed,
    /// The passphrase is another one, or a byte was changed: nobody can tell which.
    #[error("this passphrase does not open it, or the file was changed; type the one that it was made with")]
    Wrong,
    /// No memory, or no random numbers.
    #[error("this did not work inside the box; try again when it has less to do")]
    Broken,
}

/// Seals bytes. Takes a third of a second and 64 MiB.
///
/// # Errors
/// When there is no memory or no random number.
pub fn seal(passphrase: &Secret<String>, content: &Secret<Vec<u8>>) -> Result<Vec<u8>, SealError> {
    let mut random = [0; SALT + NONCE_LEN];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| SealError::Broken)?;
    let mut sealed = MAGIC.to_vec();
    [KEY.memory, KEY.passes, KEY.lanes].iter().for_each(|part| sealed.extend_from_slice(&part.to_be_bytes()));
    sealed.extend_from_slice(&random);
    let (salt, nonce) = random.split_first_chunk::<SALT>().ok_or(SealError::Broken)?;
    let key = cipher(passphrase, salt, KEY)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Broken)?;
    let mut hidden = content.expose().clone();
    key.seal_in_place_append_tag(nonce, Aad::from(&sealed), &mut hidden).map_err(|_| SealError::Broken)?;
    sealed.append(&mut hidden);
    Ok(sealed)
}

/// Opens what [`seal`] made.
///
/// # Errors
/// When it is something else, was changed, or the passphrase is another one.
pub fn open(passphrase: &Secret<String>, sealed: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
    let (head, hidden) = sealed.split_at_checked(HEAD).ok_or(SealError::NotSealed)?;
    let rest = head.strip_prefix(MAGIC).ok_or(SealError::NotSealed)?;
    let (cost, rest) = rest.split_first_chunk::<12>().ok_or(SealError::NotSealed)?;
    let part = |at: usize| cost.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_be_bytes);
    let cost = Cost { memory: part(0), passes: part(4), lanes: part(8) };
    let (salt, nonce) = rest.split_first_chunk::<SALT>().ok_or(SealError::NotSealed)?;
    let key = cipher(passphrase, salt, cost).map_err(|_| SealError::NotSealed)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::NotSealed)?;
    let mut content = hidden.to_vec();
    let length = key.open_in_place(nonce, Aad::from(head), &mut content).map_err(|_| SealError::Wrong)?.len();
    content.truncate(length);
    Ok(Secret::new(content))
}

fn cipher(passphrase: &Secret<String>, salt: &[u8], cost: Cost) -> Result<LessSafeKey, SealError> {
    let key = key(passphrase, salt, cost).ok_or(SealError::Broken)?;
    UnboundKey::new(&AES_256_GCM, key.expose()).map(LessSafeKey::new).map_err(|_| SealError::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn only_its_passphrase_opens_it_and_no_changed_byte_is_taken() {
        let content = Secret::new(b"all the settings".to_vec());
        let sealed = seal(&secret("four words make one"), &content).unwrap();
        assert!(memchr::memmem::find(&sealed, b"settings").is_none());
        assert_ne!(seal(&secret("four words make one"), &content).unwrap(), sealed, "another salt, another nonce");
        assert_eq!(open(&secret("four words make one"), &sealed).unwrap().expose(), content.expose());
        assert_eq!(open(&secret("four words make two"), &sealed).unwrap_err(), SealError::Wrong);
        // A byte of each part but the cost, which would only take longer.
        for at in [MAGIC.len() + 13, HEAD - 1, HEAD, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&secret("four words make one"), &changed).unwrap_err(), SealError::Wrong, "{at}");
        }
        for cut in [0, MAGIC.len(), HEAD - 1] {
            assert_eq!(open(&secret("x"), &sealed[..cut]).unwrap_err(), SealError::NotSealed);
        }
        let mut costly = sealed.clone();
        costly[MAGIC.len()] = 0xff;
        assert_eq!(open(&secret("x"), &costly).unwrap_err(), SealError::NotSealed, "four terabytes");
    }
}
