//! Doc comments as descriptions.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The first paragraph of a doc comment on one line, without its full stop; empty without a comment.
pub(crate) fn summary(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(line).map(|line| line.trim().to_owned());
    let paragraph: Vec<String> = lines.skip_while(String::is_empty).take_while(|line| !line.is_empty()).collect();
    let text = paragraph.join(" ");
    text.strip_suffix('.').map(str::to_owned).unwrap_or(text)
}

fn line(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}
