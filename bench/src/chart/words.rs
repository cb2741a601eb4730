//! Text in a picture: escaped, as wide as it will be, and numbers as they are read.

/// Text for SVG or HTML, in an element or in an attribute. Control characters, which XML has no way to write, become spaces.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// On one line, without control characters.
pub(super) fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How wide a text will be about, in pixels. Which font the reader has is unknown, so this is for one of the wider ones.
pub(super) fn width(text: &str, font_size: f64) -> f64 {
    text.chars().count() as f64 * font_size * 0.6
}

/// Lines of whole words, each no wider than `available` unless a single word is.
pub(super) fn wrapped(text: &str, font_size: f64, available: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in one_line(text).split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), font_size) <= available => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// As much of a text as there is room for.
pub(super) fn shortened(text: &str, font_size: f64, available: f64) -> String {
    let text = one_line(text);
    let room = (available / width("m", font_size)) as usize;
    if text.chars().count() <= room {
        return text;
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Where millions and more begin, by the letter that stands for them.
const LARGE: [(f64, &str); 3] = [(1e12, " T"), (1e9, " G"), (1e6, " M")];

/// A number as it is read: 12,000, 2.5 M, 0.001, 3×10⁻⁷. Up to six digits of it count.
pub(super) fn number(value: f64) -> String {
    let (divisor, letter) = unit_for(value.abs());
    let scaled = value / divisor;
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e15).contains(&value.abs()) {
        return powered(value);
    }
    let places = (5 - scaled.abs().log10().floor() as i32).clamp(0, 9);
    let text = fixed(scaled, places as usize);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{letter}")
}

/// Numbers at equal distances, with as many decimal places as tell them apart, and all in the same unit.
pub(super) fn numbers(values: &[f64], distance: f64) -> Vec<String> {
    let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let (divisor, letter) = unit_for(largest);
    let places = (-(distance / divisor * (1.0 + 1e-9)).log10().floor()).max(0.0);
    if largest >= 1e15 || places > 9.0 {
        return values.iter().map(|value| number(*value)).collect();
    }
    let written = |value: &f64| {
        if *value == 0.0 { "0".to_owned() } else { fixed(value / divisor, places as usize) + letter }
    };
    values.iter().map(written).collect()
}

fn unit_for(magnitude: f64) -> (f64, &'static str) {
    let large = LARGE.into_iter().find(|(least, _)| magnitude >= least * (1.0 - 1e-9));
    large.unwrap_or((1.0, ""))
}

/// With commas between thousands and a minus that is as wide as a plus.
fn fixed(value: f64, places: usize) -> String {
    let text = format!("{:.places$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::from(if value < 0.0 { "−" } else { "" });
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

/// With a power of ten.
fn powered(value: f64) -> String {
    let text = format!("{:.5e}", value.abs());
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let exponent: String = exponent.chars().map(superscript).collect();
    let sign = if value < 0.0 { "−" } else { "" };
    if digits == "1" { format!("{sign}10{exponent}") } else { format!("{sign}{digits}×10{exponent}") }
}

fn superscript(digit: char) -> char {
    match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        _ => digit.to_digit(10).and_then(|digit| char::from_u32('⁰' as u32 + digit)).unwrap_or(digit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(
            escaped("a < b && \"c\" > 'd'\u{0}"),
            "a &lt; b &amp;&amp; &quot;c&quot; &gt; &#39;d&#39; "
        );
        assert_eq!(escaped("n² ≤ 7µs"), "n² ≤ 7µs");
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        let cases = [
            (0.0, "0"),
            (7.0, "7"),
            (-2.5, "−2.5"),
            (1000.0, "1,000"),
            (19_800.0, "19,800"),
            (999_999.0, "999,999"),
            (1e6, "1 M"),
            (2.5e9, "2.5 G"),
            (0.001, "0.001"),
            (0.1 + 0.2, "0.3"),
            (3e-7, "3×10⁻⁷"),
            (1e20, "10²⁰"),
            (-1e-45, "−10⁻⁴⁵"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn numbers_at_equal_distances_have_equally_many_places() {
        assert_eq!(numbers(&[0.0, 0.5, 1.0], 0.5), ["0", "0.5", "1.0"]);
        assert_eq!(numbers(&[0.0, 500e3, 1e6], 500e3), ["0", "0.5 M", "1.0 M"]);
        assert_eq!(numbers(&[0.0, 5000.0, 10_000.0], 5000.0), ["0", "5,000", "10,000"]);
        assert_eq!(numbers(&[1e20, 2e20], 1e20), ["10²⁰", "2×10²⁰"]);
    }

    #[test]
    fn long_text_is_wrapped_or_shortened() {
        assert_eq!(wrapped("one two\nthree four", 10.0, 60.0), ["one two", "three four"]);
        assert_eq!(wrapped("", 10.0, 60.0), Vec::<String>::new());
        assert_eq!(wrapped("incomprehensibilities", 10.0, 60.0), ["incomprehensibilities"]);
        assert_eq!(shortened("one two three", 10.0, 50.0), "one two…");
        assert_eq!(shortened("µµµ", 10.0, 18.0), "µµµ");
    }
}
