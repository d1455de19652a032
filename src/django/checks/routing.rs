//! Routes that no handshake reaches, and consumers that nobody calls.

use std::collections::HashSet;

use crate::context::Context;
use crate::django::Model;
use crate::django::data::{Data, Possible, certain};
use crate::django::routes::{Fault, Function, Level, Route, WebSocket};
use crate::finding::{Applicability, Edit, Finding, Fix, Report};
use crate::project::Project;
use crate::source::Span;

/// `django/route-never-matches`.
pub fn never_matches(cx: &Context<'_>, report: &mut Report<'_>) {
    for application in &cx.django.applications {
        if application.websocket == WebSocket::Unknown {
            let (span, why) = match &application.gap {
                Some(gap) => (head(cx.project, gap.span), gap.why.as_str()),
                None => (head(cx.project, application.span), "it is computed"),
            };
            report.undecided(
                span,
                format!(
                    "the WebSocket routes that come from here are not known, and not checked: {why}"
                ),
            );
        }
    }
    let mut seen: HashSet<Span> = HashSet::new();
    for route in &cx.django.routes {
        let Some((level, fault)) = route.fault() else {
            continue;
        };
        if !seen.insert(level.span) {
            continue;
        }
        let mut finding = explain(cx.project, report, route, level, &fault);
        if matches!(fault, Fault::LeadingSlash)
            && let Some(fix) = slash_removed(cx.project, level.span, &level.pattern)
        {
            finding = finding.fix(fix);
        }
        if let Some(application) = cx.django.applications.get(route.application) {
            finding = finding.label(
                head(cx.project, application.span),
                "the router of this application",
            );
        }
        if let Some(outer) = route
            .levels
            .first()
            .filter(|outer| outer.span != level.span)
        {
            finding = finding.label(outer.span, "reached through this outer route");
        }
        report.push(finding);
    }
}

fn explain(
    project: &Project,
    report: &Report<'_>,
    route: &Route,
    level: &Level,
    fault: &Fault,
) -> Finding {
    let write = |function: &str, pattern: &str| rewritten(project, route, level, function, pattern);
    let called = &level.called;
    let pattern = &level.pattern;
    let raw = if level.function == Function::RePath {
        "r"
    } else {
        ""
    };
    match fault {
        Fault::LeadingSlash => {
            let right = without_slash(pattern);
            report
                .finding(
                    format!("this route asks for a slash that is already gone: no handshake matches `{pattern}`, each gets 500"),
                    level.span,
                    "begins with a slash; the path that arrives here does not",
                )
                .note("Channels takes the leading slashes off the path before it tries its routes, in an inner router as well, so `/ws/chat/` arrives as `ws/chat/`; a path that no route takes raises ValueError (\"No route found for path\"), which the client sees as 500 and close code 1006")
                .help(format!("leave the leading slash out:\n{}", write(called, &right)))
        }
        Fault::RegexInPath => report
            .finding(
                format!("`path()` takes no regular expression: no handshake matches `{pattern}` literally, each gets 500"),
                level.span,
                "every character of this is taken literally",
            )
            .note("`path()` knows only converters such as `<str:room>`, and escapes the rest; `manage.py check` never looks at Channels' routes")
            .help(format!("say that it is a regular expression:\n{}", write("re_path", pattern))),
        Fault::ConverterInRegex => report
            .finding(
                format!("`{called}()` takes no converters: no handshake matches `{pattern}` literally, each gets 500"),
                level.span,
                "`<…>` is no group in a regular expression",
            )
            .note("a regular expression names a group `(?P<room>[^/]+)`; `<str:room>` in it stands for these very characters")
            .help(format!("say that it is text with converters:\n{}", write("path", pattern.trim_start_matches('^').trim_end_matches('$')))),
        Fault::Query => {
            let cut = pattern.find(r"\?").or_else(|| pattern.find('?')).unwrap_or(pattern.len());
            let end = if level.function == Function::RePath { "$" } else { "" };
            report
                .finding(
                    format!("this route waits for a query string in the path: no handshake matches `{pattern}`, each gets 500"),
                    level.span,
                    "the query string is no part of the path",
                )
                .note("Channels routes by the path alone; what follows the question mark is in `scope[\"query_string\"]`")
                .help(format!("leave it out, and read it in the consumer:\n{}", write(called, &format!("{}{end}", &pattern[..cut]))))
        }
        Fault::EndBeforeRouter => report
            .finding(
                format!("`{pattern}` matches only where the path ends, so no inner route is ever reached, and each handshake gets 500"),
                level.span,
                "the `$` leaves nothing of the path to the inner router",
            )
            .label(route.span, "never reached")
            .note("a route that leads to an inner URLRouter matches the beginning of the path; what is left of it goes to the inner routes")
            .help(format!("leave the `$` out:\n{called}({raw}\"{}\", URLRouter([…]))", pattern.trim_end_matches('$'))),
        Fault::HiddenRouter => {
            let (wrapper, span) = level.wrapper.as_ref().map_or(("", level.span), |(name, span)| (name.as_str(), *span));
            let name = wrapper.rsplit('.').next().unwrap_or_default();
            report
                .finding(
                    format!("`{name}` hides the inner router: `{pattern}` must match the whole path, so no inner route is ever reached, and each handshake gets 500"),
                    level.span,
                    "must match the whole path",
                )
                .label(head(project, span), "Channels sees this wrapper, not the URLRouter inside it")
                .note("Channels lets a route match only a part of the path where a URLRouter stands in it directly; through a wrapper it takes the route for an end point")
                .help(format!("wrap the outermost router, and nest inside it:\n{name}(URLRouter([\n    {called}({raw}\"{pattern}\", URLRouter([…])),\n]))"))
        }
    }
}

/// The route as it should read: the pattern replaced, and perhaps the function.
fn rewritten(
    project: &Project,
    route: &Route,
    level: &Level,
    function: &str,
    pattern: &str,
) -> String {
    let raw = if function == "path" { "" } else { "r" };
    let start = format!("{function}({raw}\"{pattern}\"");
    let call = project.slice(route.span);
    // The rest of the call as it stands, if the pattern is written in it.
    let after = route
        .span
        .contains(level.span)
        .then(|| (level.span.end - route.span.start) as usize);
    match after.and_then(|after| call.get(after..)) {
        Some(rest) if !call.contains('\n') => format!("{start}{rest}"),
        _ => format!("{start}, …)"),
    }
}

/// The route as it should read, or only the consumer where the route is written elsewhere.
fn with_consumer(project: &Project, route: &Route, at: Span, class: &str) -> String {
    let call = project.slice(route.span);
    let inside = route.span.contains(at) && !call.contains('\n');
    // The name as the route writes it: `consumers.ChatConsumer`.
    let written = project
        .slice(at)
        .trim_end_matches(".as_asgi")
        .trim_end_matches(".as_view()");
    let written = if inside && written.ends_with(class) {
        written
    } else {
        class
    };
    let (before, after) = if inside {
        let start = (at.start - route.span.start) as usize;
        let end = (at.end - route.span.start) as usize;
        (
            call.get(..start).unwrap_or_default(),
            call.get(end..).unwrap_or_default(),
        )
    } else {
        ("", "")
    };
    format!("{before}{written}.as_asgi(){after}")
}

/// The pattern without the slash that never arrives.
fn without_slash(pattern: &str) -> String {
    let (start, rest) = match pattern.strip_prefix('^') {
        Some(rest) => ("^", rest),
        None => ("", pattern),
    };
    format!(
        "{start}{}",
        rest.trim_start_matches(r"\/").trim_start_matches('/')
    )
}

/// The first words of a span: a label on a whole application would bury what it is about.
pub(super) fn head(project: &Project, span: Span) -> Span {
    let text = project.slice(span);
    let length = text.find(['(', '\n']).unwrap_or(text.len());
    Span::new(
        span.source,
        span.start as usize..span.start as usize + length,
    )
}

/// What stands where an ASGI application should.
enum Uncalled {
    /// A consumer's class, and where it is defined.
    Class(String, Span),
    /// `as_asgi`, never called.
    Method(String),
    /// `as_view()`, which consumers do not have.
    View(String),
}

/// Where a route leads to something that the server can't call as an application, and what the
/// client gets; `None` where the application does not even start.
pub(in crate::django) fn fails_when_called(
    project: &Project,
    model: &Model,
    route: &Route,
) -> Option<(Span, Option<u16>)> {
    let (uncalled, at) = not_an_application(project, model, route)?;
    let starts = !matches!(uncalled, Uncalled::View(_));
    Some((at, starts.then_some(500)))
}

fn not_an_application(project: &Project, model: &Model, route: &Route) -> Option<(Uncalled, Span)> {
    let (uncalled, at) = uncalled(route.consumer.as_ref()?, route.place)?;
    // Channels 2 wanted the class itself.
    if matches!(uncalled, Uncalled::Class(..)) && !is_channels_3(project, model, route) {
        return None;
    }
    Some((uncalled, at))
}

/// `django/consumer-not-called`.
pub fn not_called(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    let mut seen: HashSet<Span> = HashSet::new();
    for route in &model.routes {
        let Some((uncalled, at)) = not_an_application(cx.project, model, route) else {
            continue;
        };
        if !seen.insert(at) {
            continue;
        }
        let write = |class: &str| with_consumer(cx.project, route, at, class);
        let name = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let finding = match &uncalled {
            Uncalled::Class(class, defined) => {
                let class = name(class);
                report
                    .finding(
                        format!("the route leads to the class `{class}`, not to an application: each handshake gets 500"),
                        at,
                        "a class; `.as_asgi()` makes an application of it",
                    )
                    .label(head(cx.project, *defined), "the consumer")
                    .note("since Channels 3 a consumer is an ASGI application only through `as_asgi()`; the bare class is called with three arguments, and the TypeError that follows is answered with 500")
                    .help(format!("call `as_asgi()`:\n{}", write(&class)))
            }
            Uncalled::Method(class) => {
                let class = name(class);
                report
                    .finding(
                        format!("`{class}.as_asgi` is not called: each handshake gets 500"),
                        at,
                        "the method itself, not the application that it returns",
                    )
                    .note("the server calls what stands here with scope, receive and send, which `as_asgi` does not take: a TypeError, answered with 500")
                    .help(format!("call it:\n{}", write(&class)))
            }
            Uncalled::View(class) => {
                let class = name(class);
                report
                    .finding(
                        format!("`{class}` is a consumer and has no `as_view()`: the application does not start"),
                        at,
                        "AttributeError when this module is imported",
                    )
                    .note("`as_view()` belongs to Django's views; a consumer is made an application by `as_asgi()`")
                    .help(format!("call `as_asgi()`:\n{}", write(&class)))
            }
        };
        report.push(match called(cx.project, &uncalled, at) {
            Some(fix) => finding.fix(fix),
            None => finding,
        });
    }
}

/// The call written after what is not called.
fn called(project: &Project, uncalled: &Uncalled, at: Span) -> Option<Fix> {
    let written = project.slice(at);
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
    };
    let (keep, text) = match uncalled {
        Uncalled::Class(..) if is_name(written) => (written.len(), ".as_asgi()"),
        Uncalled::Method(_) if is_name(written) && written.ends_with(".as_asgi") => {
            (written.len(), "()")
        }
        Uncalled::View(_) => {
            let class = written.strip_suffix(".as_view()")?;
            is_name(class).then_some((class.len(), ".as_asgi()"))?
        }
        _ => return None,
    };
    let start = at.start as usize + keep;
    Some(Fix {
        title: "make an application of the consumer".to_owned(),
        applicability: Applicability::Safe,
        edits: vec![Edit {
            span: Span::new(at.source, start..at.end as usize),
            text: text.to_owned(),
        }],
    })
}

/// The slash taken out of a literal that holds the pattern as it is.
pub(super) fn slash_removed(project: &Project, literal: Span, pattern: &str) -> Option<Fix> {
    let text = project.slice(literal);
    let at = text.find(pattern)?;
    if text.matches(pattern).count() != 1 {
        return None;
    }
    let begin = at + usize::from(pattern.starts_with('^'));
    let rest = &text[begin..at + pattern.len()];
    let slashes = rest.len() - rest.trim_start_matches('/').len();
    let start = literal.start as usize + begin;
    (slashes > 0).then(|| Fix {
        title: "leave the leading slash out".to_owned(),
        applicability: Applicability::Safe,
        edits: vec![Edit {
            span: Span::new(literal.source, start..start + slashes),
            text: String::new(),
        }],
    })
}

/// Whether a route's target is a consumer that nobody made an application of, through the
/// wrappers of Channels; with the place that names it.
fn uncalled(consumer: &Possible, place: Span) -> Option<(Uncalled, Span)> {
    let (mut at, mut place) = (consumer.clone(), place);
    for _ in 0..8 {
        let uncalled = match &at.data {
            Data::Class(class) => {
                is_consumer(&at.data).then(|| Uncalled::Class(class.name.clone(), at.span))
            }
            Data::Attribute(attribute) if attribute.name == "as_asgi" => {
                Some(Uncalled::Method(attribute.object.symbol()))
            }
            Data::External(path) => path
                .strip_suffix(".as_asgi")
                .map(|class| Uncalled::Method(class.to_owned())),
            Data::Call(call) => {
                if let Data::Attribute(attribute) = &call.function.data
                    && attribute.name == "as_view"
                    && is_consumer(&attribute.object)
                {
                    return Some((Uncalled::View(attribute.object.symbol()), place));
                }
                let wrapper = call.function.data.symbol();
                if !wrapper.starts_with("channels.")
                    || wrapper.ends_with("URLRouter")
                    || wrapper.ends_with(".as_asgi")
                {
                    return None;
                }
                place = call.places.first().copied().unwrap_or(place);
                at = certain(call.positional.first()?)?.clone();
                continue;
            }
            _ => None,
        };
        return uncalled.map(|uncalled| (uncalled, place));
    }
    None
}

/// Whether a class descends from one of Channels' consumers.
fn is_consumer(class: &Data) -> bool {
    let mut stack = vec![class.clone()];
    let mut steps = 0;
    while let Some(at) = stack.pop() {
        steps += 1;
        if steps > 64 {
            return false;
        }
        match at {
            Data::Class(class) => {
                stack.extend(
                    class
                        .bases
                        .iter()
                        .filter_map(|base| certain(base))
                        .map(|base| base.data.clone()),
                );
            }
            Data::External(path)
                if path.ends_with("Consumer")
                    && (path.starts_with("channels.") || path.contains(".consumers.")) =>
            {
                return true;
            }
            _ => {}
        }
    }
    false
}

/// Whether the application of a route surely runs on Channels 3 or later.
pub(super) fn is_channels_3(project: &Project, model: &Model, route: &Route) -> bool {
    let Some(application) = model.applications.get(route.application) else {
        return false;
    };
    let installed = model.installed(model.home(project, application.source));
    if let Some([major, ..]) = project
        .config
        .targets
        .channels
        .or_else(|| installed.version("channels"))
    {
        return major >= 3;
    }
    // A sibling that does it right shows it as well, and so does Django's own ASGI application.
    application.serves_django
        || model
            .routes
            .iter()
            .filter(|other| other.application == route.application)
            .any(|other| {
                other
                    .consumer
                    .as_ref()
                    .is_some_and(|consumer| match &consumer.data {
                        Data::Call(call) => call.function.data.symbol().ends_with(".as_asgi"),
                        _ => false,
                    })
            })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::rules;

    fn said(consumer: &str, more: &[(&str, &str)]) -> usize {
        let code = format!(
            "from django.urls import path\nfrom channels.routing import ProtocolTypeRouter, URLRouter\n\
             from channels.auth import AuthMiddlewareStack\nfrom channels.generic.websocket import WebsocketConsumer\n\
             from third.consumers import Other\n\
             class C(WebsocketConsumer): pass\nclass D(C): pass\nclass Plain: pass\ndef app(scope, receive, send): pass\n\
             application = ProtocolTypeRouter({{'websocket': URLRouter([path('ws/', {consumer})])}})\n"
        );
        let files = more.iter().copied().chain([("p/asgi.py", code.as_str())]);
        let project = Project::in_memory(files).unwrap();
        let cx = Context::resolve(&project);
        let rule = rules()
            .iter()
            .find(|rule| rule.id == "django/consumer-not-called")
            .unwrap();
        let mut report = Report::new(rule);
        not_called(&cx, &mut report);
        report.into_parts().0.len()
    }

    #[test]
    fn only_a_consumer_that_is_not_called_is_reported() {
        let channels = ("requirements.txt", "channels>=4\n");
        for (consumer, expected) in [
            ("C.as_asgi()", 0),
            ("AuthMiddlewareStack(C.as_asgi())", 0),
            ("C()", 0),
            ("Plain", 0),
            ("app", 0),
            ("Other", 0),
            ("unknown", 0),
            ("C", 1),
            ("D", 1),
            ("AuthMiddlewareStack(C)", 1),
            ("C.as_asgi", 1),
            ("Other.as_asgi", 1),
            ("C.as_view()", 1),
        ] {
            assert_eq!(said(consumer, &[channels]), expected, "{consumer}");
        }
        assert_eq!(said("C", &[]), 0);
        assert_eq!(said("C", &[("requirements.txt", "channels==2.4.0\n")]), 0);
        assert_eq!(said("C.as_asgi", &[]), 1);
    }
}
