"""The two providers as real servers on loopback, over one invented world.

    kinds (what may happen) x arrivals (when) -> world (who says what at an instant) -> Vima server, PayShack server
                                                                                    -> answer key

One seed makes one world, in every process alike: the two servers share nothing but the seed, the number of orders and
the anchor in PSP_HOME/sandbox.json. History lies before the anchor; after it new orders keep coming with the clock.
"""
