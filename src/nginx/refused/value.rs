//! Values as nginx reads them, and what it certainly refuses among them.

/// ngx_atoi: digits only.
pub(super) fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse()
        .ok()
        .filter(|number| i64::try_from(*number).is_ok())
}

/// ngx_parse_size and ngx_parse_offset: a number with `k` or `m`; an offset may have `g`, too.
pub(super) fn is_size(text: &str, offset: bool) -> bool {
    let digits = match text.as_bytes().last() {
        Some(b'k' | b'K' | b'm' | b'M') => &text[..text.len() - 1],
        Some(b'g' | b'G') if offset => &text[..text.len() - 1],
        _ => text,
    };
    number(digits).is_some()
}

/// ngx_parse_time: numbers with units, each unit smaller than the last one; a year fits only where
/// seconds are counted, and milliseconds where they are not.
pub(super) fn is_time(text: &str, seconds: bool) -> bool {
    const UNITS: &[&str] = &["y", "M", "w", "d", "h", "m", "s", "ms"];
    // The first unit that may still come; a blank stands for seconds.
    let mut next = usize::from(!seconds) * 2;
    let mut rest = text;
    let mut valid = false;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 15 {
            return false;
        }
        valid |= digits > 0;
        rest = &rest[digits..];
        if rest.is_empty() {
            break;
        }
        let (unit, length) = match rest.as_bytes() {
            [b'm', b's', ..] => (7, 2),
            [b' ', ..] => (8, 1),
            [first, ..] => match UNITS.iter().position(|unit| unit.as_bytes() == [*first]) {
                Some(unit) => (unit, 1),
                None => return false,
            },
            [] => break,
        };
        let fits = match unit {
            7 => !seconds && next <= 7,
            8 => next <= 6,
            unit => next <= unit,
        };
        if !fits {
            return false;
        }
        next = unit + 1;
        rest = rest[length..].trim_start_matches(' ');
    }
    valid
}

/// Why PCRE surely refuses an expression: brackets that do not match, or a repetition of nothing.
pub(super) fn bad_expression(text: &str) -> Option<&'static str> {
    if ["\\Q", "(?x", "(?#", "(*", "[:", "(?("]
        .iter()
        .any(|mark| text.contains(mark))
    {
        return None;
    }
    let bytes = text.as_bytes();
    let (mut at, mut open, mut nothing) = (0, 0_usize, true);
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        match byte {
            b'\\' if at == bytes.len() => return Some("a backslash stands at its end"),
            b'\\' => at += 1,
            b'[' => {
                at += usize::from(bytes.get(at) == Some(&b'^'));
                // A `]` right at the start is one of the class.
                at += usize::from(bytes.get(at) == Some(&b']'));
                loop {
                    match bytes.get(at) {
                        None => return Some("a `[` is not closed"),
                        Some(b'\\') => at += 2,
                        Some(b']') => break,
                        Some(_) => at += 1,
                    }
                }
                at += 1;
            }
            b'(' => {
                open += 1;
                // What a `?` after it means is none of a repetition's business.
                at += usize::from(bytes.get(at) == Some(&b'?'));
                nothing = true;
                continue;
            }
            b')' => {
                let Some(outer) = open.checked_sub(1) else {
                    return Some("a `)` has no `(`");
                };
                open = outer;
            }
            b'|' => {
                nothing = true;
                continue;
            }
            b'*' | b'+' | b'?' if nothing && open == 0 => {
                return Some("it repeats nothing");
            }
            _ => {}
        }
        nothing = false;
    }
    (open > 0).then_some("a `(` is not closed")
}

/// Whether something else than nginx will fill in a value, so that what stands there says nothing.
pub(super) fn is_placeholder(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut ats, mut is_name) = (0, bytes.len() > 2);
    for (at, byte) in bytes.iter().enumerate() {
        let next = bytes.get(at + 1);
        match byte {
            b'<' | b'>' | b'%' | b'{' | b'}' => return true,
            b'_' if next == Some(&b'_') => return true,
            b'.' if bytes[at..].starts_with(b"...") => return true,
            b'$' if next.is_some_and(|next| {
                next.is_ascii_uppercase() || matches!(next, b'{' | b'(' | b'$')
            }) =>
            {
                return true;
            }
            b'@' => ats += 1,
            _ => {}
        }
        is_name &= byte.is_ascii_uppercase() || *byte == b'_';
    }
    is_name || ats > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_as_nginx_does() {
        for time in [
            "60", "60s", "1h", "1h30m", "1h 30m", "500ms", "1d 12", "1w2d", "0",
        ] {
            assert!(is_time(time, false), "{time}");
        }
        for time in ["off", "-1", "", "1y", "30m1h", "60sec", "1.5s", "1M"] {
            assert!(!is_time(time, false), "{time}");
        }
        assert!(is_time("1y6M", true) && !is_time("5ms", true));
        for size in ["8k", "1M", "0", "4096"] {
            assert!(is_size(size, false), "{size}");
        }
        for size in ["1g", "8kb", "-1", "1.5m", ""] {
            assert!(!is_size(size, false), "{size}");
        }
        assert!(is_size("1g", true));
        assert_eq!(
            (number("12"), number("-1"), number("1a")),
            (Some(12), None, None)
        );
    }

    #[test]
    fn only_what_pcre_surely_refuses_is_a_bad_expression() {
        for bad in ["(a", "a)", "[a", "*.js$", "a|*b", "a\\", "[]a"] {
            assert!(bad_expression(bad).is_some(), "{bad}");
        }
        for good in [
            "^/(a|b)$",
            r"\.(js|css)$",
            "[]a]",
            "[^]]",
            r"\(",
            "(?!x)y",
            "(?<n>x)",
            "[(]",
            r"[\]]",
            "",
        ] {
            assert_eq!(bad_expression(good), None, "{good}");
        }
    }
}
