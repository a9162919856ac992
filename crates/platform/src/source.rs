//! A file that is sent by reference, and what it was when that was decided.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

/// An open file whose contents were promised to somebody.
///
/// It is not copied, so it can change while it is being sent. Whoever sends it asks
/// [`SourceFile::unchanged`] before each piece, reads the last one into memory and asks once more
/// before that leaves; if the answer is no, the connection is reset, and its peer does not take a
/// mixture of two versions for the whole.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    expected: Version,
}

/// Size, and time of the last change to the contents: seconds and nanoseconds since the epoch.
///
/// Replacing a file by rename, or deleting it, leaves both, and the old contents whole, so that a
/// transfer may finish.
type Version = (u64, i64, i64);

impl SourceFile {
    /// The file as it is now.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn new(file: File) -> io::Result<SourceFile> {
        let expected = version(&file)?;
        Ok(SourceFile { file, expected })
    }

    /// Whether the contents are still those that were promised.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn unchanged(&self) -> io::Result<bool> {
        Ok(version(&self.file)? == self.expected)
    }

    /// Octets, as promised.
    pub fn size(&self) -> u64 {
        self.expected.0
    }

    /// Reads octets that are known to be those that were promised.
    ///
    /// # Errors
    /// As pread(2); or the file changed.
    pub fn read_at(&self, octets: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(octets, offset)?;
        self.check()
    }

    /// [`SourceFile::unchanged`] as a result.
    ///
    /// # Errors
    /// As fstat(2); or the file changed.
    pub fn check(&self) -> io::Result<()> {
        if self.unchanged()? { Ok(()) } else { Err(io::Error::other("the file changed while it was sent")) }
    }
}

impl AsFd for SourceFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn version(file: &File) -> io::Result<Version> {
    let metadata = file.metadata()?;
    Ok((metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    #[test]
    fn a_write_is_noticed_and_a_deletion_is_none() {
        let path = std::env::temp_dir().join(format!("afpa-source-{}", std::process::id()));
        std::fs::write(&path, b"first").expect("a file");
        let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        let mut writer = File::options().write(true).open(&path).expect("a file");
        writer.set_modified(earlier).expect("a time");
        let source = SourceFile::new(File::open(&path).expect("a file")).expect("a version");
        let mut octets = [0; 5];
        source.read_at(&mut octets, 0).expect("what was promised");
        assert_eq!((&octets, source.size()), (b"first", 5));
        std::fs::remove_file(&path).expect("a deletion");
        source.check().expect("the contents are whole");
        writer.rewind().expect("a seek");
        writer.write_all(b"other").expect("a write");
        assert!(!source.unchanged().expect("an answer"));
        assert!(source.read_at(&mut octets, 0).is_err());
    }
}
