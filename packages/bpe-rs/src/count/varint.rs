//! Numbers in as few bytes as they need, and cutting pieces off a slice without a panic.

/// Appends `value`: seven bits a byte, lowest first; the top bit says that more follow (LEB128).
pub(super) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front of `bytes`.
///
/// None if `bytes` ends within it, if it exceeds 64 bits, or if fewer bytes would have done: each
/// number has one form only.
#[inline]
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None; // the tenth byte has room for a single bit
        }
        value |= bits << shift;
        if byte < 0x80 {
            return (byte != 0 || shift == 0).then_some(value);
        }
    }
    None
}

/// Takes the first `length` bytes off `bytes`; None if there are not so many.
#[inline]
pub(super) fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_take_the_bytes_they_need() {
        let cases: [(u64, &[u8]); 6] = [
            (0, &[0]),
            (127, &[127]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (
                1 << 63,
                &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
            ),
            (u64::MAX, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ];
        for (value, bytes) in cases {
            let mut out = Vec::new();
            push_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(take_varint(&mut &out[..]), Some(value));
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let cases: [&[u8]; 6] = [
            &[],
            &[0x80],
            &[0x80, 0],    // 0 in two bytes
            &[0xff, 0x00], // 127 in two bytes
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            &[0x80; 11],
        ];
        for bytes in cases {
            assert_eq!(take_varint(&mut &*bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut rest = &bytes[..];
            if let Some(value) = take_varint(&mut rest) {
                let mut out = Vec::new();
                push_varint(&mut out, value);
                prop_assert_eq!(&out[..], &bytes[..bytes.len() - rest.len()]);
            }
        }
    }
}
