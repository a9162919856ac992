//! LOC (RFC 1876).

use super::super::error::Reason;
use super::Words;

/// Appends the data of a LOC record (RFC 1876 §3):
/// `d1 [m1 [s1]] N|S d2 [m2 [s2]] E|W alt[m] [size[m] [hp[m] [vp[m]]]]`.
pub(super) fn read(words: &mut Words<'_>, out: &mut Vec<u8>) -> Result<(), Reason> {
    let latitude = angle(words, 90, [b'N', b'S'], "latitude")?;
    let longitude = angle(words, 180, [b'E', b'W'], "longitude")?;
    let word = words.required("an altitude")?;
    // RFC 1876 §2: centimetres above 100 km below the ellipsoid.
    let altitude = centimetres(word.text).map(|above| above + 10_000_000).and_then(|above| u32::try_from(above).ok());
    let altitude = altitude.ok_or_else(|| word.bad("altitude"))?;
    let mut precisions = [0x12, 0x16, 0x13];
    for precision in &mut precisions {
        let Some(word) = words.next() else { break };
        let size = centimetres(word.text).and_then(power_of_ten);
        *precision = size.ok_or_else(|| word.bad("size"))?;
    }
    out.push(0);
    out.extend_from_slice(&precisions);
    for number in [latitude, longitude, altitude] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    Ok(())
}

/// Thousandths of a second of arc, with 2^31 for zero.
fn angle(words: &mut Words<'_>, most: i64, sides: [u8; 2], what: &'static str) -> Result<u32, Reason> {
    let mut sum = 0;
    for (index, unit) in [3_600_000, 60_000, 1000].into_iter().enumerate() {
        let word = words.required(what)?;
        if index > 0 && is_side(word.text, sides) {
            return Ok(signed(sum, word.text, sides));
        }
        let part = match index {
            2 => decimal(word.text, 3).filter(|thousandths| *thousandths < 60_000),
            1 => decimal(word.text, 0).filter(|minutes| *minutes < 60).map(|minutes| minutes * unit),
            _ => decimal(word.text, 0).filter(|degrees| *degrees <= most).map(|degrees| degrees * unit),
        };
        sum += part.ok_or_else(|| word.bad(what))?;
    }
    let word = words.required(what)?;
    let is_angle = is_side(word.text, sides) && sum <= most * 3_600_000;
    if is_angle { Ok(signed(sum, word.text, sides)) } else { Err(word.bad(what)) }
}

fn is_side(text: &[u8], sides: [u8; 2]) -> bool {
    matches!(text, [side] if sides.contains(&side.to_ascii_uppercase()))
}

fn signed(sum: i64, side: &[u8], sides: [u8; 2]) -> u32 {
    let sum = if side.eq_ignore_ascii_case(&sides[1..]) { -sum } else { sum };
    ((1 << 31) + sum) as u32
}

/// Metres with at most two decimals, as centimetres.
fn centimetres(text: &[u8]) -> Option<i64> {
    let text = text.strip_suffix(b"m").unwrap_or(text);
    match text.strip_prefix(b"-") {
        Some(text) => Some(-decimal(text, 2)?),
        None => decimal(text, 2),
    }
}

/// A decimal number times ten to the power of `places`; digits behind those are an error.
fn decimal(text: &[u8], places: usize) -> Option<i64> {
    let mut halves = text.splitn(2, |octet| *octet == b'.');
    let (whole, part) = (halves.next()?, halves.next().unwrap_or_default());
    let fits = !whole.is_empty() && whole.len() <= 10 && part.len() <= places;
    let digits = whole.iter().chain(part).copied().chain(std::iter::repeat_n(b'0', places.checked_sub(part.len())?));
    let mut value = 0;
    for digit in digits {
        value = value * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    fits.then_some(value)
}

/// A digit and a power of ten, four bits each (RFC 1876 §2).
fn power_of_ten(mut centimetres: i64) -> Option<u8> {
    let mut exponent = 0;
    while centimetres > 9 {
        (centimetres, exponent) = (centimetres / 10, exponent + 1);
    }
    (centimetres >= 0 && exponent <= 9).then_some((centimetres as u8) << 4 | exponent)
}
