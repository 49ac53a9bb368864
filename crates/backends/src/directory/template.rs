//! Pod identity in a path: `{namespace}/{pod}` becomes a directory for each pod.

use becket_core::error::shown;
use becket_core::{Error, Kind, Result};

/// What a template may name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// The pod's UID.
    pub uid: &'a str,
    /// The volume's name in Kubernetes.
    pub volume: &'a str,
}

/// Refuses a template that could not be rendered for any pod.
pub fn check(template: &str) -> Result<()> {
    let example = Identity { namespace: "n", pod: "p", uid: "u", volume: "v" };
    render(template, &example).map(drop)
}

/// Fills in the template: a relative path of plain components.
///
/// Each component is checked after filling in, so neither the template nor a pod's name can lead
/// out of the volume.
pub fn render(template: &str, identity: &Identity<'_>) -> Result<String> {
    let values = [
        ("namespace", identity.namespace),
        ("pod", identity.pod),
        ("uid", identity.uid),
        ("volume", identity.volume),
    ];
    render_with(template, &values)
}

/// [`render`], of a template that may name these values.
pub(crate) fn render_with(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let refuse = |reason: String| {
        let shown = shown(template);
        let names: Vec<String> = values.iter().map(|(key, _)| format!("{{{key}}}")).collect();
        Err(Error::new(Kind::Invalid, format!("template `{shown}` is refused: {reason}"))
            .hint(format!("use path components of {} and A-Z a-z 0-9 . _ -", names.join(", "))))
    };
    let mut components = Vec::new();
    for part in template.split('/') {
        let component = match fill(part, values) {
            Ok(component) => component,
            Err(reason) => return refuse(reason),
        };
        let plain =
            component.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if component.is_empty() || component.starts_with('.') || component.len() > 255 || !plain {
            let shown = shown(&component);
            return refuse(format!("`{shown}` is no plain path component"));
        }
        components.push(component);
    }
    match components.len() {
        0..=8 => Ok(components.join("/")),
        _ => refuse("it has more than 8 components".to_owned()),
    }
}

fn fill(part: &str, values: &[(&str, &str)]) -> std::result::Result<String, String> {
    let mut filled = String::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('{') {
        let (key, after) = after.split_once('}').ok_or("a `{` is not closed")?;
        let Some((_, value)) = values.iter().find(|(name, _)| *name == key) else {
            return Err(format!("`{{{}}}` is not known", shown(key)));
        };
        if value.is_empty() {
            return Err(format!("this call does not tell the `{key}`"));
        }
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: Identity<'_> =
        Identity { namespace: "web", pod: "nginx-0", uid: "0f3c-11", volume: "logs" };

    #[test]
    fn each_key_is_filled_in() {
        for (template, path) in [
            ("{namespace}/{pod}", "web/nginx-0"),
            ("{volume}-{uid}", "logs-0f3c-11"),
            ("shared", "shared"),
            ("a/{namespace}.{pod}/b", "a/web.nginx-0/b"),
        ] {
            assert_eq!(render(template, &POD).unwrap(), path);
        }
    }

    #[test]
    fn nothing_leads_out_of_the_volume() {
        for template in [
            "",
            "/",
            "/etc",
            "../x",
            "a/../b",
            "a//b",
            "./a",
            "a/",
            ".hidden",
            "{pod",
            "{secret}",
            "a b",
            "a\0",
            "1/2/3/4/5/6/7/8/9",
        ] {
            assert_eq!(check(template).unwrap_err().kind(), Kind::Invalid, "{template:?}");
        }
        for pod in ["..", "a/b", "", ".", ".x", "a\n"] {
            let hostile = Identity { pod, ..POD };
            assert!(render("{namespace}/{pod}", &hostile).is_err(), "{pod:?}");
        }
    }
}
