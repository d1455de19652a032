//! The variables within a word (ngx_http_script_compile).

/// The `$name` and `${name}` in a text, and what stands between.
pub(super) enum Part<'t> {
    Text(&'t str),
    Variable(&'t str),
    /// Something that nginx refuses, or a placeholder that a template tool fills.
    Foreign,
}

/// The parts of a text, in order.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        if at > 0 {
            parts.push(Part::Text(&rest[..at]));
        }
        rest = &rest[at + 1..];
        let name_end = |text: &str| {
            text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .unwrap_or(text.len())
        };
        if let Some(braced) = rest.strip_prefix('{') {
            let end = name_end(braced);
            if end == 0 || !braced[end..].starts_with('}') {
                parts.push(Part::Foreign);
                return parts;
            }
            let name = &braced[..end];
            // envsubst fills `${UPSTREAM}` before nginx reads the file; nginx's own are lower case.
            if name.bytes().any(|byte| byte.is_ascii_uppercase())
                && !name.bytes().any(|byte| byte.is_ascii_lowercase())
            {
                parts.push(Part::Foreign);
            } else {
                parts.push(Part::Variable(name));
            }
            rest = &braced[end + 1..];
        } else {
            let digit = rest.as_bytes().first().is_some_and(u8::is_ascii_digit);
            let end = if digit { 1 } else { name_end(rest) };
            if end == 0 {
                parts.push(Part::Foreign);
                return parts;
            }
            parts.push(Part::Variable(&rest[..end]));
            rest = &rest[end..];
        }
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

/// The variable that `text` consists of, without `$`.
pub fn lone_variable(text: &str) -> Option<&str> {
    match parts(text).as_slice() {
        [Part::Variable(name)] => Some(name),
        _ => None,
    }
}

/// The names of all variables in `text`.
pub fn variables(text: &str) -> Vec<&str> {
    parts(text)
        .into_iter()
        .filter_map(|part| match part {
            Part::Variable(name) => Some(name),
            _ => None,
        })
        .collect()
}

/// A time as nginx reads it (ngx_parse_time): numbers with units, the greatest first; without a
/// unit seconds.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let scale = match &rest[..unit] {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "M" => 2_592_000_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        rest = rest[unit..].trim_start();
        total = total.checked_add(number.checked_mul(scale)?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn times_are_read_as_nginx_reads_them() {
        for (text, time) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("15", Some(15_000)),
            ("500ms", Some(500)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("7d", Some(604_800_000)),
            ("off", None),
            ("$x", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(milliseconds(text), time, "{text}");
        }
    }
}
