//! GPT-2's byte alphabet: how files of text write tokens, which are bytes.
//!
//! A byte that Latin-1 prints stands for itself; the others (white space, control characters, 0xAD)
//! take the code points from U+0100 on, in order. So b" the" is written "Ġthe" (Radford et al.
//! 2019, `bytes_to_unicode` of the released encoder).

/// The first code point that stands for a byte other than itself.
const SPARE: usize = 0x100;
/// As many bytes have no character of their own.
const SPARES: usize = 68;

const fn is_printed(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

/// By code point, the byte that it stands for.
const BYTES: [Option<u8>; SPARE + SPARES] = {
    let mut bytes = [None; SPARE + SPARES];
    let (mut byte, mut spare) = (0, SPARE);
    while byte < SPARE {
        if is_printed(byte as u8) {
            bytes[byte] = Some(byte as u8);
        } else {
            bytes[spare] = Some(byte as u8);
            spare += 1;
        }
        byte += 1;
    }
    bytes
};

/// Reads a token; the first character that stands for no byte is the error.
pub(crate) fn unspell(spelling: &str) -> Result<Vec<u8>, char> {
    let mut token = Vec::with_capacity(spelling.len());
    unspell_into(spelling, &mut token)?;
    Ok(token)
}

/// Appends a token; on an error, a part of it.
pub(crate) fn unspell_into(spelling: &str, token: &mut Vec<u8>) -> Result<(), char> {
    for character in spelling.chars() {
        let byte = BYTES.get(character as usize).copied().flatten();
        token.push(byte.ok_or(character)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let characters = (0..=u32::from(char::MAX)).filter_map(char::from_u32);
        let spelled = characters.filter_map(|character| unspell(&character.to_string()).ok());
        let mut bytes: Vec<Vec<u8>> = spelled.collect();
        bytes.sort();
        assert!(bytes.into_iter().eq((0..=u8::MAX).map(|byte| vec![byte])));
    }

    #[test]
    fn tokens_are_read_as_gpt2_writes_them() {
        for (spelling, token) in [
            ("", Ok(&b""[..])),
            ("Ġthe", Ok(b" the")),
            ("Ċ", Ok(b"\n")),
            ("ĉĀŃ", Ok(b"\t\x00\xad")),
            ("ÃłÄł", Ok("à\u{120}".as_bytes())),
            ("~¡¬®ÿ", Ok(b"~\xa1\xac\xae\xff")),
            ("a b", Err(' ')),
            ("\u{7f}", Err('\u{7f}')),
            ("\u{a0}", Err('\u{a0}')),
            ("\u{ad}", Err('\u{ad}')),
            ("Ń\u{144}", Err('\u{144}')),
            ("王", Err('王')),
        ] {
            assert_eq!(unspell(spelling), token.map(<[u8]>::to_vec), "{spelling}");
        }
    }
}
