-- The load's earlier landing, with its rejections and validations, makes room for the new one.
delete from landing.loads
where source = :source and feed = :feed and load_key = :load_key
