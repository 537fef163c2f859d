"""Short plain sentences in five languages, for eSpeak NG to speak."""

import itertools
from collections.abc import Iterator

import numpy as np

# Ten subjects, actions and places of each language.
_SLOTS = {
    "en": (
        """the old farmer; a young doctor; my younger sister; the bus driver;
        our new teacher; the quiet neighbour; a friendly baker; her grandfather;
        the tall student; one of the sailors""",
        """reads a long letter; is looking for the blue key; feeds the hungry
        birds; repairs a broken chair; waits for a phone call; sings an old
        song; drinks a cup of tea; paints five small pictures; carries a heavy
        box; shares fresh bread with the children""",
        """in the garden; near the river; behind the white house; at the
        station; on the bridge; in the kitchen; under a large tree; by the
        village church; before the rain begins; on the first day of summer""",
    ),
    "de": (
        """der alte Bauer; eine junge Ärztin; meine kleine Schwester; der
        Busfahrer; unsere neue Lehrerin; der stille Nachbar; ein freundlicher
        Bäcker; ihr Großvater; die große Schülerin; einer der Matrosen""",
        """liest einen langen Brief; sucht den blauen Schlüssel; füttert die
        hungrigen Vögel; repariert einen kaputten Stuhl; wartet auf einen Anruf;
        singt ein altes Lied; trinkt eine Tasse Tee; malt fünf kleine Bilder;
        trägt eine schwere Kiste; teilt frisches Brot mit den Kindern""",
        """im Garten; in der Nähe des Flusses; hinter dem weißen Haus; am
        Bahnhof; auf der Brücke; in der Küche; unter einem großen Baum; neben
        der Dorfkirche; vor dem Regen; am ersten Tag des Sommers""",
    ),
    "fr": (
        """le vieux fermier; une jeune médecin; ma petite sœur; le chauffeur du
        bus; notre nouveau professeur; la voisine tranquille; un boulanger
        aimable; son grand-père; la grande étudiante; un des marins""",
        """lit une longue lettre; cherche la clé bleue; nourrit les oiseaux
        affamés; répare une chaise cassée; attend un coup de téléphone; chante
        une vieille chanson; boit une tasse de thé; peint cinq petits tableaux;
        porte une lourde caisse; partage le pain frais avec les enfants""",
        """dans le jardin; près de la rivière; derrière la maison blanche; à la
        gare; sur le pont; dans la cuisine; sous un grand arbre; à côté de
        l'église du village; avant la pluie; le premier jour de l'été""",
    ),
    "es": (
        """el viejo granjero; una joven doctora; mi hermana pequeña; el
        conductor del autobús; nuestra nueva profesora; el vecino tranquilo; un
        panadero amable; su abuelo; la estudiante alta; uno de los marineros""",
        """lee una carta larga; busca la llave azul; da de comer a los pájaros;
        arregla una silla rota; espera una llamada; canta una canción antigua;
        bebe una taza de té; pinta cinco cuadros pequeños; lleva una caja
        pesada; comparte el pan fresco con los niños""",
        """en el jardín; cerca del río; detrás de la casa blanca; en la
        estación; sobre el puente; en la cocina; bajo un árbol grande; junto a
        la iglesia del pueblo; antes de la lluvia; el primer día del verano""",
    ),
    "it": (
        """il vecchio contadino; una giovane dottoressa; mia sorella minore;
        l'autista dell'autobus; la nostra nuova maestra; il vicino tranquillo;
        un fornaio gentile; suo nonno; la studentessa alta; uno dei marinai""",
        """legge una lunga lettera; cerca la chiave blu; nutre gli uccelli
        affamati; ripara una sedia rotta; aspetta una telefonata; canta una
        vecchia canzone; beve una tazza di tè; dipinge cinque piccoli quadri;
        porta una scatola pesante; divide il pane fresco con i bambini""",
        """nel giardino; vicino al fiume; dietro la casa bianca; alla stazione;
        sul ponte; nella cucina; sotto un grande albero; accanto alla chiesa del
        paese; prima della pioggia; il primo giorno d'estate""",
    ),
}
_TEST_SHARE = 4


def all_sentences(language: str, split: str) -> list[str]:
    """Return every sentence of "train" or "test", which share none."""
    slots = [
        [" ".join(phrase.split()) for phrase in text.split(";")]
        for text in _SLOTS[language]
    ]
    wanted = []
    for picks in itertools.product(range(10), repeat=3):
        if (sum(picks) % _TEST_SHARE == 0) == (split == "test"):
            words = " ".join(slots[k][i] for k, i in enumerate(picks))
            wanted.append(f"{words[0].upper()}{words[1:]}.")
    return wanted


def shuffled_sentences(
    language: str, split: str, rng: np.random.Generator
) -> Iterator[str]:
    """Yield the sentences of a split in a random order, again and again."""
    return itertools.cycle(rng.permutation(all_sentences(language, split)))
