//! The document trees that the benchmarks ask for: WebStone's fixed sizes, SPECweb96's file set, and the synthetic
//! trace of the TCP Servers paper.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// WebStone's sizes in octets: powers of two from 64 B to 1 MiB.
pub(crate) fn webstone_sizes() -> impl Iterator<Item = u64> {
    (6..=20).map(|power| 1 << power)
}

/// Where the file of `size` octets lies under the root.
pub(crate) fn webstone_path(size: u64) -> String {
    format!("/webstone/{size}.html")
}

/// Writes one file per WebStone size under `root`.
///
/// # Errors
/// The file system refused.
pub(crate) fn write_webstone(root: &Path) -> Result<()> {
    webstone_sizes().try_for_each(|size| write_file(root, &webstone_path(size), size))
}

/// The files of the synthetic trace (TCP Servers, Table 1), and the octets of each.
pub(crate) const SYNTHETIC_FILES: u32 = 128;
pub(crate) const SYNTHETIC_SIZE: u64 = 16 << 10;

/// Where such a file lies under the root.
pub(crate) fn synthetic_path(index: u32) -> String {
    format!("/synthetic/{index:03}")
}

/// Writes the files of the synthetic trace under `root`.
///
/// # Errors
/// The file system refused.
pub(crate) fn write_synthetic(root: &Path) -> Result<()> {
    (0..SYNTHETIC_FILES).try_for_each(|index| write_file(root, &synthetic_path(index), SYNTHETIC_SIZE))
}

/// SPECweb96's file set and how it is asked for: directories of four classes of nine files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SpecWeb96 {
    /// How many directories there are; each holds about 5 MB.
    pub(crate) directories: u32,
}

impl SpecWeb96 {
    /// How many classes of sizes there are.
    pub(crate) const CLASSES: u32 = 4;
    /// How many files there are in a class of a directory.
    pub(crate) const FILES: u32 = 9;
    /// The percentage of requests that go to each class.
    pub(crate) const CLASS_WEIGHTS: [u32; Self::CLASSES as usize] = [35, 50, 14, 1];

    /// The working set for a server that is offered `rate` requests per second: 10 × √(rate ÷ 5)
    /// directories, so that a fourfold load doubles the files it goes to.
    pub(crate) fn for_rate(rate: f64) -> SpecWeb96 {
        SpecWeb96 { directories: ((rate / 5.0).sqrt() * 10.0).max(1.0) as u32 }
    }

    /// The size of file `index` (0..9) of `class` (0..4) in octets: 102.4 × 10^class × (index + 1),
    /// rounded down, so 102 B to 921 B in class 0 and 100 KB to 900 KB in class 3.
    pub(crate) fn size(class: u32, index: u32) -> u64 {
        u64::from(index + 1) * 1024 * 10u64.pow(class) / 10
    }

    /// Where a file lies under the root.
    pub(crate) fn path(directory: u32, class: u32, index: u32) -> String {
        format!("/specweb96/dir{directory:05}/class{class}_{index}")
    }

    /// Every file as (directory, class, index).
    pub(crate) fn files(self) -> impl Iterator<Item = (u32, u32, u32)> {
        (0..self.directories).flat_map(|directory| {
            (0..Self::CLASSES).flat_map(move |class| (0..Self::FILES).map(move |index| (directory, class, index)))
        })
    }

    /// How likely each file of a class is, given the class: Poisson around the middle file, cut to
    /// the nine files there are.
    pub(crate) fn file_weights() -> [f64; Self::FILES as usize] {
        let mut weights = [0.0; Self::FILES as usize];
        let mut factorial = 1.0;
        for (index, weight) in weights.iter_mut().enumerate() {
            factorial *= (index + 1) as f64;
            *weight = 5f64.powi(index as i32 + 1) / factorial;
        }
        let sum: f64 = weights.iter().sum();
        weights.map(|weight| weight / sum)
    }

    /// How likely `(class, index)` is among all requests; directories are equally likely.
    pub(crate) fn probability(class: u32, index: u32) -> f64 {
        f64::from(Self::CLASS_WEIGHTS[class as usize]) / 100.0 * Self::file_weights()[index as usize]
    }

    /// Writes the file set under `root`.
    ///
    /// # Errors
    /// The file system refused.
    pub(crate) fn write(self, root: &Path) -> Result<()> {
        self.files().try_for_each(|(directory, class, index)| {
            write_file(root, &Self::path(directory, class, index), Self::size(class, index))
        })
    }
}

fn write_file(root: &Path, path: &str, size: u64) -> Result<()> {
    let file = root.join(path.trim_start_matches('/'));
    let write = || {
        fs::create_dir_all(file.parent().unwrap_or(root))?;
        fs::write(&file, contents(path, size))
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// Text that names the file and differs from line to line, so that a torn or mixed-up body shows.
fn contents(path: &str, size: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(size as usize + 64);
    while (text.len() as u64) < size {
        let line = format!("{path} at octet {}\n", text.len());
        text.extend_from_slice(line.as_bytes());
    }
    text.truncate(size as usize);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_benchmarks() {
        assert_eq!(webstone_sizes().collect::<Vec<_>>().first(), Some(&64));
        assert_eq!(webstone_sizes().last(), Some(1 << 20));
        for (class, first, last) in [(0, 102, 921), (1, 1024, 9216), (2, 10_240, 92_160), (3, 102_400, 921_600)] {
            assert_eq!((SpecWeb96::size(class, 0), SpecWeb96::size(class, 8)), (first, last));
        }
    }

    #[test]
    fn the_mix_is_a_distribution_with_its_mode_in_the_middle() {
        let weights = SpecWeb96::file_weights();
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(weights.iter().all(|weight| *weight <= weights[4] + 1e-12));
        let total: f64 = (0..4).flat_map(|class| (0..9).map(move |index| SpecWeb96::probability(class, index))).sum();
        assert!((total - 1.0).abs() < 1e-12);
    }

    #[test]
    fn four_times_the_load_doubles_the_working_set() {
        assert_eq!(SpecWeb96::for_rate(500.0).directories, 100);
        assert_eq!(SpecWeb96::for_rate(2000.0).directories, 200);
        assert_eq!(SpecWeb96::for_rate(0.001).directories, 1);
    }

    #[test]
    fn files_are_written_with_their_sizes() {
        let root = std::env::temp_dir().join(format!("afpa-fileset-test-{}", std::process::id()));
        SpecWeb96 { directories: 1 }.write(&root).unwrap();
        write_webstone(&root).unwrap();
        write_synthetic(&root).unwrap();
        let size = |path: String| fs::metadata(root.join(&path[1..])).unwrap().len();
        assert_eq!(size(SpecWeb96::path(0, 0, 8)), 921);
        assert_eq!((size(webstone_path(64)), size(synthetic_path(127))), (64, 16_384));
        fs::remove_dir_all(root).unwrap();
    }
}
