//! The claim code: what makes the first administrator, so that being on the network is not enough.
//!
//! Made at random when the box has no accounts, kept in the state folder where only our user reads it, shown by
//! `sapphire-edge claim` (the screen and whoever is root on the box), and gone once it was used. 12 characters of 32: 60 bits, of
//! which an attacker gets to try a few dozen an hour.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::durable;

/// Crockford's Base32: no letter looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHARACTERS: usize = 12;
/// Shown in groups of this many.
const GROUP: usize = 4;

/// Where the code lies.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("claim-code")
}

/// The code of the box, made if there is none. Blocks on the disk.
pub(super) fn code(folder: &Path) -> io::Result<String> {
    if let Some(code) = read(folder)? {
        return Ok(code);
    }
    let code = new()?;
    durable::replace_secret(&path(folder), code.as_bytes())?;
    Ok(code)
}

/// The code of the box, if it waits to be claimed. Blocks on the disk.
pub(super) fn read(folder: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path(folder)) {
        // What a torn write or a person left is no code: another one is made.
        Ok(code) => Ok(Some(code).filter(|code| normal(code).len() == CHARACTERS)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the code away: the box is claimed.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_file(path(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn new() -> io::Result<String> {
    let mut random = [0u8; CHARACTERS];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
    let characters = random.iter().map(|byte| ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'0'));
    let characters: Vec<u8> = characters.collect();
    let groups: Vec<_> = characters.chunks(GROUP).map(String::from_utf8_lossy).collect();
    Ok(groups.join("-"))
}

/// The characters that count, as they are meant: people type small letters, blanks, and O for 0.
fn normal(code: &str) -> Vec<u8> {
    let meant = |c: char| match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let counts = |c: &char| u8::try_from(*c).is_ok_and(|byte| ALPHABET.contains(&byte));
    // Bounded: what is too long is wrong however it goes on.
    code.chars().map(meant).filter(counts).take(CHARACTERS + 1).map(|c| c as u8).collect()
}

/// Whether that is the code, in a time that does not tell how much of it is right.
pub(super) fn is(code: &str, typed: &str) -> bool {
    verify_slices_are_equal(&normal(code), &normal(typed)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_kept_to_ourselves_and_another_on_the_next_box() {
        let (box_1, box_2) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(read(box_1.path()).unwrap(), None);
        let one = code(box_1.path()).unwrap();
        assert_eq!(code(box_1.path()).unwrap(), one);
        assert_eq!(one.len(), 14);
        assert_ne!(code(box_2.path()).unwrap(), one);
        let mode = fs::metadata(path(box_1.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        remove(box_1.path()).unwrap();
        remove(box_1.path()).unwrap();
        assert_ne!(code(box_1.path()).unwrap(), one);
        fs::write(path(box_2.path()), "torn").unwrap();
        assert_eq!(code(box_2.path()).unwrap().len(), 14);
    }

    #[test]
    fn it_is_taken_as_people_type_it_and_nothing_else_is() {
        let code = "0A1B-C2D3-E4F5";
        for typed in ["0A1B-C2D3-E4F5", "oaib c2d3 e4f5", " 0a1bc2d3e4f5\n", "OALBC2D3E4F5"] {
            assert!(is(code, typed), "{typed}");
        }
        for typed in ["", "0A1B-C2D3-E4F", "0A1B-C2D3-E4F55", "0A1B-C2D3-E4F6", "ｏA1B-C2D3-E4F5"] {
            assert!(!is(code, typed), "{typed}");
        }
    }
}
