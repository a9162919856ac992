//! Names: their order, their text, where one is within another, and how they are read; against a naive model.

use std::cmp::Ordering;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use afpa_dns::message::{FormError, MAX_NAME, Name, NameBuf, NameBuffer, NameParseError};
use proptest::prelude::*;

/// A name as the list of its labels.
type Labels = Vec<Vec<u8>>;

fn name(text: &str) -> NameBuf {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn wire(labels: &Labels) -> Vec<u8> {
    let labels = labels.iter().map(|label| [&[label.len() as u8], &label[..]].concat());
    labels.chain([vec![0]]).collect::<Vec<_>>().concat()
}

fn lowercase(labels: &Labels) -> Labels {
    labels.iter().map(|label| label.to_ascii_lowercase()).collect()
}

/// RFC 4034 §6.1, word for word.
fn model_order(left: &Labels, right: &Labels) -> Ordering {
    let reversed = |labels: &Labels| lowercase(labels).into_iter().rev().collect::<Vec<_>>();
    reversed(left).cmp(&reversed(right))
}

/// Few letters, so that names are often alike; octets of every kind now and then.
fn label() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![6 => prop::sample::select(&b"aAbBzZ\x01\x02\x03"[..]), 1 => any::<u8>()];
    prop_oneof![8 => prop::collection::vec(octet.clone(), 1..=3), 1 => prop::collection::vec(octet, 1..=63)]
}

fn labels() -> impl Strategy<Value = Labels> {
    let count = prop_oneof![8 => 0..5usize, 1 => 5..127usize];
    count.prop_flat_map(|count| prop::collection::vec(label(), count)).prop_map(|mut labels| {
        while wire(&labels).len() > MAX_NAME {
            labels.pop();
        }
        labels
    })
}

/// Two names, one perhaps above the other.
fn pair() -> impl Strategy<Value = (Labels, Labels)> {
    (labels(), labels(), any::<prop::sample::Index>(), 0..3u8).prop_map(|(left, right, index, kind)| {
        let above = left[index.index(left.len() + 1)..].to_vec();
        let toggled = above.iter().map(|label| label.iter().map(toggle_case).collect()).collect();
        match kind {
            0 => (left, right),
            1 => (left, above),
            _ => (left, toggled),
        }
    })
}

fn toggle_case(octet: &u8) -> u8 {
    if octet.is_ascii_alphabetic() { octet ^ 0x20 } else { *octet }
}

fn hash(name: Name<'_>) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(name)
}

#[test]
fn names_are_in_canonical_order() {
    // The example of RFC 4034 §6.1.
    let list = [
        "example",
        "a.example",
        "yljkjljk.a.example",
        "Z.a.example",
        "zABC.a.EXAMPLE",
        "z.example",
        r"\001.z.example",
        "*.z.example",
        r"\200.z.example",
    ];
    let names: Vec<_> = std::iter::once(".").chain(list).map(name).collect();
    for (left_at, left) in names.iter().enumerate() {
        for (right_at, right) in names.iter().enumerate() {
            assert_eq!(left.cmp(right), left_at.cmp(&right_at), "{left} and {right}");
        }
    }
}

#[test]
fn a_name_is_within_another_by_whole_labels() {
    let cases = [
        ("www.example.com", "example.com", true),
        ("www.example.com", "EXAMPLE.com", true),
        ("example.com", "example.com", true),
        ("example.com", ".", true),
        (".", ".", true),
        (".", "com", false),
        ("com", "example.com", false),
        ("badexample.com", "example.com", false),
        // The octets of `\003com` are in the middle of this label.
        (r"www\003com", "com", false),
        (r"\007example\003com", "example.com", false),
        (r"a\003com.net", "com.net", false),
    ];
    for (inner, outer, is_within) in cases {
        assert_eq!(name(inner).as_name().is_within(name(outer).as_name()), is_within, "{inner} in {outer}");
    }
}

#[test]
fn text_is_what_master_files_have() {
    // RFC 1035 §5.1: a dot, a backslash and what is no visible character are escaped.
    let cases: [(&str, &[u8], &str); 14] = [
        (".", b"\0", "."),
        ("example", b"\x07example\0", "example."),
        ("Example.", b"\x07Example\0", "Example."),
        ("a.b.", b"\x01a\x01b\0", "a.b."),
        (r"a\.b", b"\x03a.b\0", r"a\.b."),
        (r"a\\b", b"\x03a\\b\0", r"a\\b."),
        (r"\000\255", b"\x02\0\xff\0", r"\000\255."),
        (r"a\032b", b"\x03a b\0", r"a\032b."),
        (r"a\ b", b"\x03a b\0", r"a\032b."),
        (r"\097\.", b"\x02a.\0", r"a\.."),
        (r"\q\@", b"\x02q@\0", r"q\@."),
        (r"\195\188", b"\x02\xc3\xbc\0", r"\195\188."),
        (r"\.", b"\x01.\0", r"\.."),
        ("*._tcp", b"\x01*\x04_tcp\0", "*._tcp."),
    ];
    for (text, wire, written) in cases {
        assert_eq!(name(text).as_name().as_wire(), wire, "{text}");
        assert_eq!(name(text).to_string(), written);
    }
}

#[test]
fn a_name_lies_below_its_ancestors() {
    let found: Vec<_> = name(r"a\.b.example.COM").as_name().ancestors().map(|name| name.to_string()).collect();
    assert_eq!(found, [r"a\.b.example.COM.", "example.COM.", "COM.", "."]);
    assert!(Name::ROOT.ancestors().eq([Name::ROOT]) && Name::ROOT.labels().next().is_none());
}

#[test]
fn text_that_is_no_name_says_why() {
    let label = "a".repeat(63);
    let (long, longest) = (format!("{label}a"), format!("{label}.{label}.{label}.{}", "b".repeat(61)));
    assert_eq!(name(&longest).as_name().as_wire().len(), 255);
    assert_eq!(name(&format!("{longest}.")), name(&longest));
    let cases = [
        ("", NameParseError::Empty),
        ("..", NameParseError::EmptyLabel),
        (".a", NameParseError::EmptyLabel),
        ("a..b", NameParseError::EmptyLabel),
        ("a..", NameParseError::EmptyLabel),
        (&long, NameParseError::LongLabel),
        (&format!("{longest}b"), NameParseError::LongName),
        (&"a.".repeat(128), NameParseError::LongName),
        (&format!("{}.", "a".repeat(10_000)), NameParseError::LongLabel),
        (r"a\", NameParseError::Escape),
        (r"\1", NameParseError::Escape),
        (r"\12", NameParseError::Escape),
        (r"\12a", NameParseError::Escape),
        (r"\256", NameParseError::Escape),
        (r"\999", NameParseError::Escape),
        (r"a\25", NameParseError::Escape),
        (r"a\ü", NameParseError::Unicode),
        ("bücher.example", NameParseError::Unicode),
        ("a b", NameParseError::Unescaped),
        ("a\n", NameParseError::Unescaped),
        ("a\u{7f}", NameParseError::Unescaped),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<NameBuf>(), Err(error), "{text}");
    }
}

#[test]
fn names_are_put_together_within_their_limit() {
    let apex = name("example.com");
    assert_eq!(NameBuf::prepend(b"www", apex.as_name()), Some(name("www.example.com")));
    assert_eq!(NameBuf::prepend(b"", apex.as_name()), None);
    assert_eq!(NameBuf::prepend(&[b'a'; 63], apex.as_name()).map(|name| name.as_name().label_count()), Some(3));
    assert_eq!(NameBuf::prepend(&[b'a'; 64], apex.as_name()), None);
    let long = name(&"a.".repeat(126));
    assert_eq!(NameBuf::prepend(b"b", long.as_name()).map(|name| name.as_name().as_wire().len()), Some(255));
    assert_eq!(NameBuf::prepend(b"bb", long.as_name()), None);
}

#[test]
fn a_name_is_moved_by_its_labels() {
    // RFC 6672 §2.2, Table 1, and what is not within.
    let cases = [
        ("a.example.com", "example.com", "example.net", Some("a.example.net")),
        ("A.b.EXAMPLE.com", "example.com", ".", Some("A.b")),
        ("example.com", "example.com", "example.net", Some("example.net")),
        ("a.x", ".", "y", Some("a.x.y")),
        ("a.example.org", "example.com", "example.net", None),
        ("com", "example.com", "example.net", None),
        (r"a\007example\003com", "example.com", "example.net", None),
    ];
    for (moved, from, to, expected) in cases {
        let found = NameBuf::moved(name(moved).as_name(), name(from).as_name(), name(to).as_name());
        assert_eq!(found, expected.map(name), "{moved} from {from} to {to}");
        let mut buffer = NameBuffer::default();
        buffer.set(name("before").as_name());
        let fits = buffer.set_moved(name(moved).as_name(), name(from).as_name(), name(to).as_name());
        assert_eq!(fits, expected.is_some());
        assert_eq!(buffer.as_name(), name(expected.unwrap_or("before")).as_name());
    }
    let long = name(&"a.".repeat(126));
    assert_eq!(
        NameBuf::moved(long.as_name(), Name::ROOT, name("b").as_name()).map(|name| name.as_name().label_count()),
        Some(127)
    );
    assert_eq!(NameBuf::moved(long.as_name(), Name::ROOT, name("bb").as_name()), None, "YXDOMAIN");
    let mut buffer = NameBuffer::default();
    assert!(buffer.set_moved(long.as_name(), Name::ROOT, name("b").as_name()));
    assert_eq!(buffer.as_name().as_wire().len(), 255);
    assert!(!buffer.set_moved(long.as_name(), Name::ROOT, name("bb").as_name()));
    assert_eq!(buffer.as_name().as_wire().len(), 255);
}

#[test]
fn a_compressed_name_is_read_to_its_end() {
    // RFC 1035 §4.1.4's example: F.ISI.ARPA at 20, FOO.F.ISI.ARPA at 40, ARPA at 64, the root at 92.
    let mut message = vec![0xee; 100];
    message[20..32].copy_from_slice(b"\x01F\x03ISI\x04ARPA\0");
    message[40..46].copy_from_slice(b"\x03FOO\xc0\x14");
    message[64..66].copy_from_slice(b"\xc0\x1a");
    message[92] = 0;
    let mut buffer = NameBuffer::default();
    for (at, text, end) in [(20, "F.ISI.ARPA", 32), (40, "FOO.F.ISI.ARPA", 46), (64, "ARPA", 66), (92, ".", 93)] {
        assert_eq!(buffer.read(&message, at), Ok(end));
        assert_eq!(buffer.as_name(), name(text).as_name());
    }
}

#[test]
fn a_name_that_does_not_end_is_an_error_and_leaves_the_root() {
    let cases: [(&[u8], usize, FormError); 12] = [
        (b"", 0, FormError::Short),
        (b"\x01a", 0, FormError::Short),
        (b"\x03abc\x02x", 0, FormError::Short),
        (b"\x01a\xc0", 0, FormError::Short),
        (b"\0", 7, FormError::Short),
        (b"\xc0\x00", 0, FormError::Pointer),
        (b"\x01a\xc0\x00", 0, FormError::Pointer),
        (b"\x01a\xc0\x02", 0, FormError::Pointer),
        (b"\0\xc0\x03\xc0\x01", 1, FormError::Pointer),
        // It leads back, and from there into itself.
        (b"\x01a\x01b\xc0\x00", 2, FormError::Pointer),
        (b"\x41", 0, FormError::LabelType),
        (b"\xbf", 0, FormError::LabelType),
    ];
    for (message, at, error) in cases {
        let mut buffer = NameBuffer::default();
        buffer.read(b"\x04some\x04name\0", 0).unwrap();
        assert_eq!(buffer.read(message, at), Err(error), "{message:x?}");
        assert!(buffer.as_name().is_root());
    }
}

#[test]
fn a_chain_of_pointers_has_an_end() {
    // The root, and pointers each to the one before it.
    let chain = |pointers: usize| {
        let targets = (0..pointers).map(|step| if step == 0 { 0 } else { 2 * step - 1 });
        let pointers = targets.flat_map(|target| (0xc000 | target as u16).to_be_bytes());
        std::iter::once(0).chain(pointers).collect::<Vec<u8>>()
    };
    let read = |pointers: usize| NameBuffer::default().read(&chain(pointers), 2 * pointers - 1);
    assert_eq!(read(127), Ok(255));
    assert_eq!(read(128), Err(FormError::Pointer));
    assert_eq!(read(8000), Err(FormError::Pointer));
}

#[test]
fn a_name_may_be_put_together_up_to_255_octets() {
    // 127 labels, each behind a pointer but the first.
    let mut message = b"\x01a\0".to_vec();
    let mut at = 0;
    for _ in 1..127 {
        let next = message.len();
        message.extend_from_slice(&[1, b'b', 0xc0, at as u8]);
        message[next + 2] |= (at >> 8) as u8;
        at = next;
    }
    let mut buffer = NameBuffer::default();
    assert_eq!(buffer.read(&message, at), Ok(message.len()));
    assert_eq!((buffer.as_name().label_count(), buffer.as_name().as_wire().len()), (127, 255));
    let last = message.len();
    message.extend_from_slice(&[1, b'b', 0xc0 | (at >> 8) as u8, at as u8]);
    assert_eq!(buffer.read(&message, last), Err(FormError::LongName));
}

proptest! {
    #[test]
    fn order_equality_and_hash_are_the_models((left, right) in pair()) {
        let (left_wire, right_wire) = (wire(&left), wire(&right));
        let (left_name, right_name) = (Name::read(&left_wire).unwrap(), Name::read(&right_wire).unwrap());
        let order = model_order(&left, &right);
        prop_assert_eq!(left_name.cmp(&right_name), order);
        prop_assert_eq!(left_name == right_name, order == Ordering::Equal);
        if left_name == right_name {
            prop_assert_eq!(hash(left_name), hash(right_name));
        }
        prop_assert_eq!(left_name.to_owned().cmp(&right_name.to_owned()), order);
        prop_assert_eq!(lowercase(&left).ends_with(&lowercase(&right)), left_name.is_within(right_name));
    }

    #[test]
    fn the_parts_of_a_name_are_the_models(labels in labels()) {
        let wire = wire(&labels);
        let name = Name::read(&wire).unwrap();
        prop_assert_eq!(name.labels().collect::<Vec<_>>(), labels.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert_eq!(name.label_count(), labels.len());
        prop_assert_eq!(name.is_root(), labels.is_empty());
        prop_assert_eq!(name.is_wildcard(), labels.first().is_some_and(|label| label == b"*"));
        prop_assert_eq!(name.parent().map(Name::label_count), labels.len().checked_sub(1));
        prop_assert_eq!(name.ancestors().count(), labels.len() + 1);
        let lower = self::wire(&lowercase(&labels));
        let mut written = b"front".to_vec();
        name.write_lowercase(&mut written);
        prop_assert_eq!(&written[5..], &lower[..]);
        let copy = name.to_lowercase();
        prop_assert_eq!(copy.as_name().as_wire(), &lower[..]);
    }

    #[test]
    fn text_and_back_is_the_same_name(labels in labels()) {
        let wire = wire(&labels);
        let text = Name::read(&wire).unwrap().to_string();
        prop_assert!(text.bytes().all(|octet| octet.is_ascii_graphic()));
        let parsed: NameBuf = text.parse().unwrap();
        prop_assert_eq!(parsed.as_name().as_wire(), &wire[..]);
    }

    #[test]
    fn any_text_is_a_name_or_an_error(text in prop_oneof![any::<String>(), r"[a-z.\\0-9ü ]{0,300}"]) {
        if let Ok(name) = text.parse::<NameBuf>() {
            prop_assert_eq!(Name::read(name.as_name().as_wire()).unwrap(), name.as_name());
        }
    }

    #[test]
    fn both_readers_agree(labels in labels(), front in prop::collection::vec(any::<u8>(), 0..20), cut in 0..300usize) {
        let wire = wire(&labels);
        let message = [&front[..], &wire, b"behind"].concat();
        let mut buffer = NameBuffer::default();
        prop_assert_eq!(buffer.read(&message, front.len()), Ok(front.len() + wire.len()));
        prop_assert_eq!(buffer.as_name().as_wire(), &wire[..]);
        prop_assert_eq!(Name::read(&message[front.len()..]).unwrap().as_wire(), &wire[..]);
        let short = &wire[..cut % wire.len()];
        prop_assert_eq!(Name::read(short), Err(FormError::Short));
        prop_assert_eq!(buffer.read(short, 0), Err(FormError::Short));
    }

    #[test]
    fn both_readers_agree_on_any_octets(octets in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..300)) {
        let mut buffer = NameBuffer::default();
        let (plain, followed) = (Name::read(&octets), buffer.read(&octets, 0));
        prop_assert_eq!(plain.is_ok(), followed.is_ok(), "nothing lies before the first name to point to");
        if let Ok(name) = plain {
            prop_assert_eq!((name.as_wire(), Ok(name.as_wire().len())), (buffer.as_name().as_wire(), followed));
        }
    }
}
