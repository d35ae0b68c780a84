//! ConsumerGroupDescribe (key 69, versions 0–1): how groups of the consumer protocol stand, as it is committed (KIP-848).
//!
//! Version notes: 1 says which members speak the classic protocol. Source: `GroupMetadataManager.consumerGroupDescribe`,
//! `ConsumerGroupMember.asConsumerGroupDescribeMember`.

use super::RequestContext;
use super::coordination::{GROUP_OPERATIONS, Refusal, each_once, look, shared, state_name, text};
use coordinator::description::{ConsumerGroupDescription, ConsumerMemberDescription};
use coordinator::ids::GroupId;
use coordinator::record::TopicPartitions;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions as Described,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId as NameOfGroup, TopicName,
};
use replication::metadata::image::MetadataImage;

/// The first version that names the protocol of members.
const MEMBER_TYPE_SINCE: i16 = 1;

pub(crate) async fn handle(
    context: RequestContext,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let image = context.broker.image();
    let settings = context.broker.settings.load();
    let assignors = &settings.broker.groups.group_consumer_assignors;
    let default_assignor = assignors.first().map(String::as_str).unwrap_or_default();
    let groups =
        each_once(request.group_ids, |group_id| &group_id.0).map(|name| match describe(&context, &name) {
            Ok(description) => {
                let group = show(&image, description, default_assignor, context.version).with_group_id(name);
                match request.include_authorized_operations {
                    true => group.with_authorized_operations(GROUP_OPERATIONS),
                    false => group,
                }
            }
            Err(refusal) => DescribedGroup::default()
                .with_group_id(name)
                .with_error_code(refusal.code())
                .with_error_message(refusal.message()),
        });
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn describe(context: &RequestContext, name: &NameOfGroup) -> Result<ConsumerGroupDescription, Refusal> {
    if !context.broker.settings.load().broker.groups.serves_consumer_protocol() {
        return Err(ResponseError::UnsupportedVersion.into());
    }
    if name.is_empty() {
        return Err(ResponseError::InvalidGroupId.into());
    }
    let group_id = GroupId(shared(name));
    Ok(look(context, name, |shard| shard.describe_consumer(&group_id))?)
}

fn show(
    image: &MetadataImage,
    description: ConsumerGroupDescription,
    default_assignor: &str,
    version: i16,
) -> DescribedGroup {
    DescribedGroup::default()
        .with_error_message(None)
        .with_group_state(text(state_name(description.state)))
        .with_group_epoch(description.group_epoch.0)
        .with_assignment_epoch(description.assignment_epoch.0)
        .with_assignor_name(text(description.assignor.as_deref().unwrap_or(default_assignor)))
        .with_members(
            description.members.into_iter().map(|member| show_member(image, member, version)).collect(),
        )
}

fn show_member(image: &MetadataImage, member: ConsumerMemberDescription, version: i16) -> Member {
    let names = member.subscribed_topic_names.iter().map(|name| TopicName(text(name)));
    let mut shown = Member::default()
        .with_member_id(text(member.member_id.as_str()))
        .with_instance_id(member.instance_id.as_ref().map(|id| text(id.as_str())))
        .with_rack_id(member.rack_id.as_deref().map(text))
        .with_member_epoch(member.member_epoch.0)
        .with_client_id(text(&member.client_id))
        .with_client_host(text(&member.client_host))
        .with_subscribed_topic_names(names.collect())
        .with_subscribed_topic_regex(member.subscribed_topic_regex.as_deref().map(text))
        .with_assignment(show_assignment(image, member.assignment))
        .with_target_assignment(show_assignment(image, member.target_assignment));
    if version >= MEMBER_TYPE_SINCE {
        shown.member_type = if member.is_classic { 0 } else { 1 };
    }
    shown
}

/// Topics that are gone have no name, and are left out.
fn show_assignment(image: &MetadataImage, topics: Vec<TopicPartitions>) -> Assignment {
    let shown = topics.into_iter().filter_map(|topic| {
        let name = text(&image.topic_by_id(topic.topic_id)?.name);
        let partitions = topic.partitions.into_iter().map(|partition| partition.0).collect();
        Some(
            Described::default()
                .with_topic_id(topic.topic_id.0)
                .with_topic_name(TopicName(name))
                .with_partitions(partitions),
        )
    });
    Assignment::default().with_topic_partitions(shown.collect())
}
