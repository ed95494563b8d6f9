-- The templates somebody was enrolled with: file name -> text.
select templates
from campaigns.versions
where campaign = :campaign and version = :version
