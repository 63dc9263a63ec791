//! The bytes of a file to import, unpacked. Bounded: a small file must not unpack into all of the memory.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use flate2::read::MultiGzDecoder;

/// The most bytes that a file may have, unpacked.
const MOST: u64 = 2 * 1024 * 1024 * 1024;

/// Reads a file, unpacking it if it is packed by gzip.
///
/// # Errors
/// If it cannot be read or is too large.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    unpack(bytes).with_context(|| format!("{} cannot be unpacked", path.display()))
}

/// Unpacks bytes if they are packed by gzip.
///
/// # Errors
/// If they are damaged or too many.
pub fn unpack(bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut content = Vec::new();
    MultiGzDecoder::new(bytes.as_slice()).take(MOST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MOST {
        bail!("it has more than {MOST} bytes");
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use std::io::Write as _;

    use super::*;

    #[test]
    fn packed_and_plain_content_read_the_same() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"a,b\n").unwrap();
        assert_eq!(unpack(packed.finish().unwrap()).unwrap(), b"a,b\n");
        assert_eq!(unpack(b"a,b\n".to_vec()).unwrap(), b"a,b\n");
        assert!(unpack(vec![0x1f, 0x8b, 0, 0]).is_err());
    }
}
