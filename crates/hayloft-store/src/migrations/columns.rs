//! Words that the migrations are written in, so that each of them reads like a list of columns.

use sea_orm_migration::prelude::*;

/// A table that may be there already: a migration that was cut off starts again from its first line.
pub(super) fn table(name: &'static str) -> TableCreateStatement {
    Table::create().table(name).if_not_exists().to_owned()
}

/// A text that is the whole primary key.
pub(super) fn key(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().primary_key().to_owned()
}

/// A primary key of several columns.
pub(super) fn keys<const N: usize>(names: [&'static str; N]) -> IndexCreateStatement {
    let mut index = Index::create();
    for name in names {
        index.col(name);
    }
    index
}

/// A number that the database counts up, never one that it gave before.
pub(super) fn sequence(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().auto_increment().primary_key().to_owned()
}

pub(super) fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().to_owned()
}

pub(super) fn optional_text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().null().to_owned()
}

pub(super) fn number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().to_owned()
}

pub(super) fn optional_number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().to_owned()
}

/// Milliseconds since 1970 in UTC.
pub(super) fn time(name: &'static str) -> ColumnDef {
    number(name)
}

pub(super) fn bytes(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).blob().not_null().to_owned()
}

/// Ties a table's `organization_id` to an organization that exists.
pub(super) fn of_organization(name: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(name, "organization_id").to("organizations", "id").to_owned()
}

/// An index over columns of a table.
pub(super) fn index<const N: usize>(name: &'static str, columns: [&'static str; N]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(format!("{name}_by_{}", columns.join("_"))).table(name).if_not_exists();
    for column in columns {
        index.col(column);
    }
    index
}
