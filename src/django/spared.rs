//! What SECURE_REDIRECT_EXEMPT takes out of the redirect to https.

use super::Model;
use super::data::Data;
use super::routes::{Function, Route};
use super::settings::Settings;
use crate::project::Project;
use crate::source::Span;

/// A path that no project has: a pattern that finds something in it finds something in all.
const NOWHERE: &str = "wslint-f2c1/no/such/path";

/// Which requests the redirect to https spares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// None.
    Nothing,
    /// Every path of a WebSocket that the project shows; the setting's value.
    Sockets(Span),
    /// Some paths, which may be those of WebSockets.
    Some(Span),
    /// All.
    Everything,
}

impl Model {
    /// What the redirect spares under `settings`.
    pub fn spared(&self, project: &Project, settings: &Settings) -> Spared {
        let setting = settings.get("SECURE_REDIRECT_EXEMPT");
        let place = setting
            .target
            .or_else(|| setting.reopened.map(|open| open.span));
        let Some(value) = setting.certain() else {
            return place.map_or(Spared::Nothing, Spared::Some);
        };
        match &value.data {
            Data::Absent => return Spared::Nothing,
            Data::Sequence(list) if list.complete && list.items.is_empty() => {
                return Spared::Nothing;
            }
            _ => {}
        }
        if settings.exempts(NOWHERE) == Some(true) {
            return Spared::Everything;
        }
        let home = self.home(project, settings.source);
        let declared = project
            .config
            .endpoints
            .iter()
            .map(|declared| declared.path().to_owned());
        let mut paths = self.routes_of(home).map(sample).chain(declared).peekable();
        if paths.peek().is_some() && paths.all(|path| settings.exempts(&path) == Some(true)) {
            Spared::Sockets(value.span)
        } else {
            Spared::Some(value.span)
        }
    }
}

/// A path that the route takes, as far as its patterns are plain text.
pub(super) fn sample(route: &Route) -> String {
    let mut path = String::new();
    for level in &route.levels {
        if level.function == Function::RePath {
            let text = level.pattern.trim_start_matches(['^', '/']);
            let plain = text
                .find(|char: char| {
                    !(char.is_ascii_alphanumeric() || matches!(char, '/' | '-' | '_'))
                })
                .unwrap_or(text.len());
            path.push_str(&text[..plain]);
            if !matches!(&text[plain..], "" | "$") {
                break;
            }
            continue;
        }
        let mut rest = level.pattern.as_str();
        while let Some((before, after)) = rest.split_once('<') {
            let (converter, after) = after.split_once('>').unwrap_or((after, ""));
            path.push_str(before);
            path.push_str(match converter.split(':').next() {
                Some("uuid") => "00000000-0000-0000-0000-000000000000",
                _ => "1",
            });
            rest = after;
        }
        path.push_str(rest);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exempt_patterns_are_tried_on_the_sockets_paths() {
        let routes = "path('ws/<uuid:room>/', f), re_path(r'^ws/chat/(?P<room>[^/]+)/$', f)";
        let spared = |setting: &str, routes: &str| {
            let settings = format!("ROOT_URLCONF = 'p.urls'\n{setting}\n");
            let asgi = format!(
                "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path, re_path\n\
                 application = ProtocolTypeRouter({{'websocket': URLRouter([{routes}])}})\n"
            );
            let project = Project::in_memory([
                ("p/settings.py", settings.as_str()),
                ("p/asgi.py", asgi.as_str()),
            ])
            .unwrap();
            let model = Model::resolve(&project);
            match model.spared(&project, &model.settings[0]) {
                Spared::Nothing => "nothing",
                Spared::Sockets(_) => "sockets",
                Spared::Some(_) => "some",
                Spared::Everything => "everything",
            }
        };
        for (setting, expected) in [
            ("", "nothing"),
            ("SECURE_REDIRECT_EXEMPT = []", "nothing"),
            ("SECURE_REDIRECT_EXEMPT = [r'^ws/']", "sockets"),
            ("SECURE_REDIRECT_EXEMPT = ['^health$', 'ws/']", "sockets"),
            ("SECURE_REDIRECT_EXEMPT = ['^health$']", "some"),
            ("SECURE_REDIRECT_EXEMPT = ['^ws/chat/']", "some"),
            ("SECURE_REDIRECT_EXEMPT = helper()", "some"),
            ("SECURE_REDIRECT_EXEMPT = ['.*']", "everything"),
        ] {
            assert_eq!(spared(setting, routes), expected, "{setting}");
        }
        assert_eq!(spared("SECURE_REDIRECT_EXEMPT = ['^ws/']", ""), "some");
    }
}
