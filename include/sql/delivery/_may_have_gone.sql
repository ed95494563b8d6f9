-- True of a message s that the customer got, or may have got: it counts for the caps. Nobody gets an audience.
s.channel <> 'audience' and s.state in ('attempting', 'accepted', 'delivered', 'bounced', 'unknown')
