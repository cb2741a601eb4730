//! Plain text in GitHub's Markdown, so that it reads as it was written.

use std::fmt::Write;

/// On one line, with a backslash before whatever would be markup within a line.
pub(super) fn escaped(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let after = characters.peek().copied().unwrap_or(' ');
        let markup = match character {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '~' | '$' => true,
            // Within a word it is a letter.
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            '&' => after.is_ascii_alphanumeric() || after == '#',
            // A heading begins or ends with it.
            '#' => after == ' ',
            _ => false,
        };
        if markup {
            escaped.push('\\');
        }
        escaped.push(character);
        before = character;
    }
    escaped
}

/// Text that stands by itself, where its beginning could be that of a list, a heading or a rule.
pub(super) fn paragraph(text: &str) -> String {
    let escaped = escaped(text);
    let digits = escaped.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = escaped.split_at(digits);
    let listed = |first: &[char]| {
        rest.strip_prefix(first).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let begins_block =
        if number.is_empty() { listed(&['-', '+']) || rest.starts_with("--") } else { listed(&['.', ')']) };
    if begins_block { format!("{number}\\{rest}") } else { escaped }
}

/// A picture in a folder.
pub(super) fn picture(folder: &str, name: &str, title: &str) -> String {
    let folder = folder.trim_end_matches('/');
    let path = if folder.is_empty() { format!("{name}.svg") } else { format!("{folder}/{name}.svg") };
    let mut address = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            write!(address, "%{byte:02X}").expect("a string takes what is written");
        }
    }
    format!("![{}]({address})", escaped(title))
}

/// Code between fences that are longer than any in it.
pub(super) fn fenced(code: &str) -> String {
    let longest = code.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    format!("{fence}\n{}\n{fence}", code.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped_and_words_are_not() {
        let cases = [
            ("2n(n-1) * 3 | a\\b", "2n(n-1) \\* 3 \\| a\\\\b"),
            ("view_timeout_ms and _this_", "view_timeout_ms and \\_this\\_"),
            ("a & b &amp; c", "a & b \\&amp; c"),
            ("costs $5 `x` #7, C #", "costs \\$5 \\`x\\` #7, C \\#"),
            ("- 3.10", "- 3.10"),
        ];
        for (text, expected) in cases {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn a_paragraph_does_not_begin_a_list() {
        let cases = [
            ("- a\n- b", "\\- a - b"),
            ("12. of June, 3.5 ms", "12\\. of June, 3.5 ms"),
            ("3.5 ms", "3.5 ms"),
            ("-5 degrees", "-5 degrees"),
            ("---", "\\---"),
            ("## a", "#\\# a"),
            ("# a", "\\# a"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(paragraph(text), expected);
        }
    }

    #[test]
    fn fences_are_longer_than_those_in_the_code() {
        assert_eq!(fenced("a\n"), "```\na\n```");
        assert_eq!(fenced("````\nb\n````"), "`````\n````\nb\n````\n`````");
    }

    #[test]
    fn addresses_of_pictures_have_no_spaces() {
        assert_eq!(picture("../my charts/", "a)b", "T"), "![T](../my%20charts/a%29b.svg)");
        assert_eq!(picture("", "a", "T"), "![T](a.svg)");
    }
}
