//! One plugin in one organization: what should be, and what is known of what is.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "instances")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub plugin_id: String,
    pub enabled: bool,
    pub state: String,
    pub last_revision: i64,
    pub desired_revision: Option<i64>,
    pub active_revision: Option<i64>,
    pub hold_reason: Option<String>,
    pub last_error: Option<String>,
    pub auth_valid: Option<bool>,
    pub auth_message: Option<String>,
    pub auth_at: Option<i64>,
    pub content_hash: Option<String>,
    pub rejected_revision: Option<i64>,
    pub rejection: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
