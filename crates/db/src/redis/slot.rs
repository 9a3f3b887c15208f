//! Where a key lies in a cluster.

const SLOTS: u16 = 16384;

/// The slot of a key: that of its hash tag, what stands between the first `{` and the next `}`, or else of all of it.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = || {
        let open = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key[open..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[open..open + length])
    };
    crc16(tag().unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::slot;

    #[test]
    fn it_is_that_of_cluster_keyslot() {
        // As `CLUSTER KEYSLOT` answers.
        for (key, expected) in
            [("task", 9240), ("foo", 12182), ("", 0), ("{foo}bar", 12182), ("x{foo}{bar}", 12182)]
        {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_ne!(slot(b"{}foo"), slot(b"{}bar"), "an empty tag is none");
        assert_eq!(slot(b"foo{}"), slot(b"foo{}"));
    }
}
