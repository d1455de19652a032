//! What `--root-path` makes of a handshake's path.
//!
//! uvicorn puts the root path before every path (uvicorn/protocols/websockets, `path` of the scope,
//! since 0.26), daphne only tells it (daphne/ws_protocol.py). Channels' URLRouter then refuses a
//! path that does not begin with it, and takes it off (channels/routing.py, since 4.1).

use super::command::{Command, Program};
use super::requirements::Requirements;

/// The path that Channels routes, `None` if it refuses the path; an error says what the files do
/// not tell.
pub(super) fn routed(
    command: &Command,
    installed: &Requirements,
    root: &str,
    path: &str,
) -> Result<Option<String>, &'static str> {
    let since = |name: &str, version| installed.version(name).is_some_and(|own| own >= version);
    if !since("channels", [4, 1, 0]) {
        return Err("whether Channels takes off what `--root-path` names depends on its version");
    }
    let whole = match command.program {
        Program::Daphne => path.to_owned(),
        Program::Uvicorn if since("uvicorn", [0, 26, 0]) => format!("{root}{path}"),
        _ => return Err("what `--root-path` makes of the path depends on the server"),
    };
    let rest = whole.strip_prefix(root);
    Ok(rest.map(|rest| format!("/{}", rest.trim_start_matches('/'))))
}

#[cfg(test)]
mod tests {
    use crate::context::Context;
    use crate::handshake::{Browser, Outcome, Request};
    use crate::project::Project;
    use crate::stack::Stack;

    /// What an application with the route `ws/` answers: a status, or 0 where it is undecided.
    fn answer(server: &str, requirements: &str, path: &str) -> u16 {
        let asgi = "from channels.generic.websocket import WebsocketConsumer\n\
            from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
            class Chat(WebsocketConsumer): pass\n\
            application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', Chat.as_asgi())])})\n";
        let procfile = format!("web: {server} site.asgi:application\n");
        let project = Project::in_memory([
            ("site/asgi.py", asgi),
            (
                "site/settings.py",
                "ROOT_URLCONF = 'site.urls'\nINSTALLED_APPS = ['channels']\n",
            ),
            ("Procfile", procfile.as_str()),
            ("requirements.txt", requirements),
        ])
        .expect("a project");
        let cx = Context::resolve(&project);
        let stack = Stack::of(&cx);
        let request = Request::handshake(Browser::Chrome, false, "a.example", 8000, path);
        match stack.hops[0].receive(&request).outcome {
            Outcome::Answers { status } => status.unwrap_or(0),
            _ => 0,
        }
    }

    #[test]
    fn a_validator_stands_before_the_routes() {
        let asgi = "from channels.generic.websocket import WebsocketConsumer\n\
            from channels.routing import ProtocolTypeRouter, URLRouter\n\
            from channels.security.websocket import OriginValidator\nfrom django.urls import path\n\
            class Chat(WebsocketConsumer): pass\n\
            routes = URLRouter([path('ws/', Chat.as_asgi())])\n\
            application = ProtocolTypeRouter({'websocket': OriginValidator(routes, ['LIST'])})\n";
        for (list, status) in [("b.example", 403), ("a.example", 500)] {
            let asgi = asgi.replace("LIST", list);
            let project = Project::in_memory([
                ("site/asgi.py", asgi.as_str()),
                (
                    "site/settings.py",
                    "ROOT_URLCONF = 'site.urls'\nINSTALLED_APPS = ['channels']\n",
                ),
                (
                    "Procfile",
                    "web: daphne --root-path /chat site.asgi:application\n",
                ),
                ("requirements.txt", "channels==4.3.2\ndaphne==4.2.3\n"),
            ]);
            let project = project.expect("a project");
            let cx = Context::resolve(&project);
            let stack = Stack::of(&cx);
            let request = Request::handshake(Browser::Chrome, false, "a.example", 8000, "/ws/");
            let Outcome::Answers { status: found } = stack.hops[0].receive(&request).outcome else {
                unreachable!("an application answers")
            };
            assert_eq!(found, Some(status), "{list}");
        }
    }

    #[test]
    fn a_root_path_is_told_or_put_before() {
        let new = "channels==4.3.2\nuvicorn==0.54.0\nwebsockets==17.4\ndaphne==4.2.3\n";
        let old = "channels==4.0.0\nuvicorn==0.54.0\nwebsockets==17.4\n";
        let uvicorn = "uvicorn --root-path /chat";
        let daphne = "daphne --root-path=/chat";
        for (server, requirements, path, status) in [
            (uvicorn, new, "/ws/", 101),
            (uvicorn, new, "/chat/ws/", 500),
            (daphne, new, "/ws/", 500),
            (daphne, new, "/chat/ws/", 101),
            (uvicorn, old, "/ws/", 0),
            (uvicorn, "channels\nuvicorn\nwebsockets\n", "/ws/", 0),
            ("hypercorn --root-path /chat", new, "/ws/", 0),
        ] {
            let found = answer(server, requirements, path);
            assert_eq!(found, status, "{server} {path}");
        }
    }
}
