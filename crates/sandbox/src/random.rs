//! Ids as the real services make them: short, random, from an alphabet.

use crate::failure::Error;

const URL_SAFE: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

/// A random text such as the courier's `_id`.
pub(crate) fn id(length: usize) -> Result<String, Error> {
    let mut bytes = vec![0_u8; length];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes
        .into_iter()
        .filter_map(|byte| URL_SAFE.get(usize::from(byte & 63)))
        .map(|&letter| char::from(letter))
        .collect())
}

/// Ten digits, never beginning with a zero.
pub(crate) fn ten_digits() -> Result<String, Error> {
    let mut bytes = [0_u8; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok((1_000_000_000 + u64::from_be_bytes(bytes) % 9_000_000_000).to_string())
}
