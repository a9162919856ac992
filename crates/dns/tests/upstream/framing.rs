//! Messages over TCP come out as they went in, however they are cut.

use afpa_dns::upstream::{FrameReader, FrameTooShort, write_frame};
use proptest::prelude::*;

/// What comes out of a reader that is shown `pieces`.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, FrameTooShort> {
    let (mut reader, mut messages) = (FrameReader::new(), Vec::new());
    for mut piece in pieces {
        while let Some(message) = reader.next(&mut piece)? {
            messages.push(message.to_vec());
        }
        assert!(piece.is_empty());
    }
    assert!(!reader.is_partial());
    Ok(messages)
}

#[test]
fn a_message_that_lies_there_whole_is_lent_and_the_rest_stays() {
    let mut stream = Vec::new();
    write_frame(&[1; 12], &mut stream).unwrap();
    write_frame(&[2; 13], &mut stream).unwrap();
    let (mut reader, mut input) = (FrameReader::new(), &stream[..20]);
    let lent = reader.next(&mut input).unwrap().unwrap();
    assert!(std::ptr::eq(lent, &stream[2..14]));
    assert_eq!(input.len(), 6);
    assert_eq!(reader.next(&mut input), Ok(None));
    assert!(reader.is_partial());
    let mut input = &stream[20..];
    assert_eq!(reader.next(&mut input), Ok(Some(&[2; 13][..])));
    assert!(!reader.is_partial());
}

#[test]
fn a_length_below_a_headers_ends_the_stream() {
    for octets in [&[0, 11][..], &[0, 0], &[0, 11, 1, 2, 3]] {
        let length = u16::from(octets[1]);
        assert_eq!(read(octets.chunks(1)), Err(FrameTooShort { length }));
        assert_eq!(read([octets].into_iter()), Err(FrameTooShort { length }));
    }
}

#[test]
fn a_message_that_is_too_long_for_its_length_is_not_written() {
    let mut stream = vec![7];
    assert_eq!(write_frame(&[0; 65_536], &mut stream), None);
    assert_eq!(stream, [7]);
    assert_eq!(write_frame(&[0; 65_535], &mut stream), Some(()));
}

proptest! {
    #[test]
    fn messages_survive_any_cut(
        lens in prop::collection::vec(12usize..400, 0..8),
        cuts in prop::collection::vec(1usize..90, 1..40),
    ) {
        let messages: Vec<Vec<u8>> = lens.iter().enumerate().map(|(number, &len)| vec![number as u8; len]).collect();
        let mut stream = Vec::new();
        messages.iter().for_each(|message| write_frame(message, &mut stream).unwrap());
        let (mut pieces, mut rest, mut cuts) = (Vec::new(), &stream[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            pieces.push(piece);
            rest = behind;
        }
        prop_assert_eq!(read(pieces.into_iter()).unwrap(), messages);
    }
}
