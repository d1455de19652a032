//! `try_files`, and the content phase: handlers, index files, files.

use super::rewrite::Kind;
use super::walk::{Phase, Step, Walk};
use super::{Answer, End, Module, What};
use crate::nginx::location::Matcher;
use crate::nginx::model::{ItemId, ROOT};
use crate::value::Value;

impl Walk<'_, '_> {
    /// ngx_http_try_files_handler. It belongs to its own block alone: an `if` that holds drops it.
    pub(super) fn try_files(&mut self) -> Step {
        let Some(item) = self.view.level(self.scope.location).try_files else {
            return Step::Go(Phase::Content);
        };
        let Some((last, files)) = self.view.directive(item).args().split_last() else {
            return Step::Go(Phase::Content);
        };
        for word in files {
            let kind = match word.text.ends_with('/') {
                true => Kind::Folder,
                false => Kind::File,
            };
            let there = match self.is_there(word, kind) {
                Some(there) => there,
                None => self.suppose(item, format!("whether there is a file `{}`", word.text)),
            };
            if !there {
                continue;
            }
            let Value::Known(mut path) = self.scope.word(word) else {
                return Step::End(self.undecided(item, "which file is tried"));
            };
            if kind == Kind::Folder {
                // The slash only says that a folder is meant.
                path.pop();
            }
            self.note(item, What::TryFiles, format!("finds `{path}`"));
            self.named_file = true;
            if let Some(here) = &mut self.scope.here {
                here.uri = path;
            }
            return Step::Go(Phase::Content);
        }
        if let Some(code) = last
            .text
            .strip_prefix('=')
            .and_then(|code| code.parse().ok())
        {
            self.note(
                item,
                What::TryFiles,
                format!("finds no file for `{}` and answers {code}", self.uri()),
            );
            return Step::Status(code, Answer::TryFiles, item);
        }
        let (path, args) = self.target(last);
        let value = match path {
            Value::Known(value) => value,
            Value::Unknown(why) => return Step::End(self.undecided(item, why)),
            Value::OneOf(_) => return Step::End(self.undecided(item, "which file is tried last")),
        };
        let message = format!(
            "finds no file for `{}` and goes on to `{value}`",
            self.uri()
        );
        self.note(item, What::TryFiles, message);
        if value.starts_with('@') {
            return self.named_location(&value, item);
        }
        self.internal_redirect(value, args, Self::names_file(last))
    }

    /// ngx_http_core_content_phase.
    pub(super) fn content(&mut self) -> Step {
        self.mirror();
        let Some(handler) = self.handler else {
            return self.file();
        };
        let name = self.view.directive(handler).name();
        let module = match name {
            "proxy_pass" => Module::Proxy,
            "uwsgi_pass" => Module::Uwsgi,
            "scgi_pass" => Module::Scgi,
            "fastcgi_pass" => Module::Fastcgi,
            "grpc_pass" => Module::Grpc,
            "stub_status" | "empty_gif" | "echo" => {
                self.note(handler, What::Handler, "answers by itself");
                return Step::End(self.found(Answer::Handler, handler));
            }
            "flv" | "mp4" => return self.file(),
            other => {
                let why = format!("`{other}` answers here, and what it says is not in the files");
                return Step::End(self.undecided(handler, why));
            }
        };
        match (self.pass(handler, module), self.closed) {
            (Step::End(End::Forwards(_)), Some(item)) => {
                let message = "its request ends in 444, which closes the client's connection";
                self.note(item, What::Reply, message);
                Step::End(End::Answers {
                    status: None,
                    by: Answer::Mirror,
                    item,
                    to: None,
                })
            }
            (step, _) => step,
        }
    }

    /// An answer with 200, unless `error_page` fixed the status.
    fn found(&self, by: Answer, item: ItemId) -> End {
        End::Answers {
            status: Some(self.sent(200)),
            by,
            item,
            to: None,
        }
    }

    /// Index files and files (ngx_http_index_module, ngx_http_static_module). A file that the
    /// configuration names is taken to be there, one that only the handshake names is not.
    fn file(&mut self) -> Step {
        let path = self.uri().to_owned();
        let (by, item) = self.server_of_files();
        if path.ends_with('/') {
            if self.named_file || path == "/" || self.is_aliased(&path) {
                return self.index(&path);
            }
            self.note(
                item,
                What::Handler,
                format!("looks for a folder `{path}`, which is taken not to be there"),
            );
            return Step::Status(404, by, item);
        }
        let is_there = self.named_file
            || self.has_ending() && self.suppose(item, format!("whether there is a file `{path}`"));
        if is_there {
            self.note(item, What::Handler, format!("sends the file `{path}`"));
            return Step::End(self.found(Answer::File, item));
        }
        self.note(
            item,
            What::Handler,
            format!("looks for a file `{path}`, which is taken not to be there"),
        );
        Step::Status(404, by, item)
    }

    /// What serves files here: the location's `root` or `alias`, or the location itself.
    fn server_of_files(&self) -> (Answer, ItemId) {
        let Some(location) = self.location else {
            return (Answer::NoLocation, self.server_item());
        };
        let item = match self.scope.root() {
            Some((item, _)) => item,
            None => self.view.config.locations[location as usize].item,
        };
        (Answer::File, item)
    }

    /// Whether the path is the very folder that an `alias` names.
    fn is_aliased(&self, path: &str) -> bool {
        let Some(location) = self.location else {
            return false;
        };
        let location = &self.view.config.locations[location as usize];
        let alias = self.view.own(location.item, "alias").next().is_some();
        alias
            && matches!(&location.matcher, Matcher::Exact(named) | Matcher::Prefix { path: named, .. } if named == path)
    }

    /// ngx_http_index_handler: to the first index file.
    fn index(&mut self, path: &str) -> Step {
        let item = self.view.in_force(self.scope.location, "index");
        let word = item.and_then(|item| self.view.directive(item).args().first());
        let name = match word.map(|word| self.scope.word(word)) {
            None => "index.html".to_owned(),
            Some(Value::Known(name)) => name,
            Some(_) => {
                let item = item.unwrap_or(ROOT);
                return Step::End(self.undecided(item, "the name of the index file"));
            }
        };
        let target = if name.starts_with('/') {
            name
        } else {
            format!("{path}{name}")
        };
        self.note(
            item.unwrap_or(ROOT),
            What::Index,
            format!("`{path}` means the file `{target}`"),
        );
        let args = self.args();
        self.internal_redirect(target, args, true)
    }
}
