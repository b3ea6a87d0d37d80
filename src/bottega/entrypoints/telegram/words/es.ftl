# Lo que dice el bot, en español.

language-name = Español

## Beginning

welcome =
    👋 Te doy la bienvenida, { $name }. Hago software: me cuentas con tus palabras qué debe hacer; yo lo planifico, lo escribo, lo pruebo y te entrego los archivos.

    Tienes <b>{ $credits } créditos</b> para empezar. Ves el precio antes de que se construya nada y pagas solo lo que se usa.

    Dime qué necesitas, o empieza con un ejemplo:
welcome-without-credits =
    👋 Te doy la bienvenida, { $name }. Hago software: me cuentas con tus palabras qué debe hacer; yo lo planifico, lo escribo, lo pruebo y te entrego los archivos.

    Ves el precio en créditos antes de que se construya nada y pagas solo lo que se usa. Con /buy consigues créditos.

    Dime qué necesitas, o empieza con un ejemplo:
welcome-back =
    👋 Hola de nuevo, { $name }. Tienes <b>{ $credits } créditos</b> y { $projects ->
        [0] todavía ningún proyecto
        [one] un proyecto
       *[other] { $projects } proyectos
    }.

    Dime qué construyo ahora, o elige:
help =
    <b>Cómo funciona</b>
    1. Describes lo que necesitas. Vale un mensaje, un texto reenviado o un archivo .txt o .md.
    2. Puede que te haga algunas preguntas. Toca una respuesta, escribe la tuya o déjame decidir.
    3. Recibes un plan y su precio. No se construye nada hasta que tú lo digas.
    4. Lo construyo paso a paso y pruebo cada paso. Un mensaje muestra cuánto va hecho.
    5. Recibes los archivos en un zip, con cómo usarlos y lo que han costado.

    Puedes escribirme en cualquier momento: lo que digas llega a quien esté trabajando en tu proyecto.

    <b>Comandos</b>
    /new – un proyecto nuevo
    /projects – tus proyectos
    /status – cuánto va hecho
    /pause, /resume, /cancel – parar un rato, seguir, parar del todo
    /download – los archivos hasta ahora
    /refine – cambiar un archivo de un proyecto terminado
    /credits, /buy, /history – lo que tienes, conseguir más, en qué se fue
    /settings – el idioma y tus datos

    <b>Por escrito (en inglés)</b>
    <code>implement task 2 of project ID</code>
    <code>refine file PATH in project ID with instruction: TEXT</code>
describe =
    <b>¿Qué construyo?</b>

    Di qué debe hacer, para quién, y qué verías cuando funcione. Bastan unas frases; de lo demás te pregunto yo.

    O empieza con un ejemplo:
small-talk =
    ¡Hola! Hago software: dime en una o dos frases lo que necesitas y recibes un plan y un precio antes de que se construya nada.

    O empieza con un ejemplo:

example-1-label = 💸 Apuntar lo que gasto
example-1-brief = Un programa pequeño que apunta lo que gasto: cantidad, categoría y fecha. Muestra los totales por mes y por categoría, y lo guarda todo en un archivo de mi ordenador.
example-2-label = 🗂 Ordenar mis fotos
example-2-brief = Un programa que ordena las fotos de una carpeta en carpetas por año y mes. Nunca sobrescribe ni borra una foto, y al final me dice qué ha movido y adónde.
example-3-label = 📅 Citas para un pequeño negocio
example-3-brief = Una página web para una peluquería: los clientes ven las horas libres de la semana y reservan una con su nombre y su teléfono. La dueña ve las reservas de cada día en una página propia.

brief-too-short =
    Es muy poco para empezar:
    <blockquote>{ $brief }</blockquote>
    ¿Empiezo con eso y te pregunto lo demás, o prefieres contar algo más? Escríbelo sin más.
which-project =
    ¿De qué proyecto se trata?
    <blockquote>{ $text }</blockquote>
never-mind = De acuerdo, se queda como estaba.
fits-nothing =
    No sé bien qué hacer con eso. Para construir algo, di qué debe hacer; para seguir con un proyecto, elígelo entre los tuyos.
unknown-command = No existe el comando { $command }. En /help están los que hay.
text-too-long =
    Es más largo de lo que puedo leer de una vez: caben como mucho { $most } bytes. Deja lo que el software debe hacer y quita los ejemplos de datos. No se ha empezado nada.
unsupported =
    No puedo usar { $what }, solo palabras. Escribe lo que quieres, o mándalo como archivo .txt o .md.
unsupported-sticker = un sticker
unsupported-voice = un mensaje de voz
unsupported-audio = un archivo de sonido
unsupported-photo = una imagen
unsupported-video = un vídeo
unsupported-video-note = un videomensaje
unsupported-animation = una animación
unsupported-location = una ubicación
unsupported-contact = un contacto
unsupported-poll = una encuesta
unsupported-dice = una tirada de dados
unsupported-other = este tipo de mensaje
document-too-large =
    <b>{ $name }</b> es demasiado grande: cabe una descripción de como mucho { $most } bytes. Deja lo que el software debe hacer y quita los ejemplos de datos. No se ha empezado nada.
document-not-text =
    <b>{ $name }</b> no se puede leer como texto. Guárdalo como texto sin formato (UTF-8) y mándalo otra vez, o escríbelo aquí.
document-wrong-kind =
    Leo descripciones de archivos .txt y .md; <b>{ $name }</b> es de otro tipo. Mándalo como uno de esos, o escríbelo aquí.
document-empty = <b>{ $name }</b> está vacío. Di qué quieres que construya, en el archivo o aquí.
not-allowed =
    Este es un taller privado: quien lo lleva decide quién puede usarlo. Para entrar, dale tu número de Telegram: <code>{ $id }</code>
in-groups =
    En un grupo escucho cuando mencionas a { $name } o me respondes. Lo que se construya aquí lo paga quien lo pidió.
only-in-private = Los créditos, los pagos y tus datos quedan entre tú y yo: escríbeme en un chat privado.
login-code =
    🔑 Tu código para entrar:

    <code>{ $code }</code>

    Sirve una sola vez, durante { $minutes } minutos, en { $address } (programas: <code>POST /auth/code</code>). El código que tuvieras de antes ya no sirve.

    No se lo des a nadie, te lo pida quien te lo pida: con él puede hacerse pasar por ti y gastar tus créditos.
login-too-late = Pediste un código para entrar y no pude dártelo a tiempo. Con /login recibes uno nuevo.
login-only-in-private = El código para entrar es solo para tus ojos: pídemelo en nuestro chat privado.

## Languages, settings, rules

languages = ¿En qué idioma hablo?
language-chosen = De acuerdo, hablamos en español.
settings =
    <b>Ajustes</b>
    Idioma: { $language }
terms =
    <b>Condiciones</b>
    · Los créditos pagan el trabajo de los modelos de lenguaje en tus proyectos. Cada proyecto muestra su precio, de tanto a tanto, antes de que des el visto bueno, y se detiene cuando se acaban tus créditos.
    · Las respuestas de un modelo se pagan, también mientras se repara un paso. Lo que cuesta un proveedor que falla o un fallo nuestro no se cobra. El recibo de cada proyecto detalla cada parte.
    · Cada paso se prueba antes de darse por hecho. Lo que no se pudo probar queda señalado. El software puede tener fallos de todos modos: prueba lo que recibes antes de confiar en ello.
    · Lo que recibes es tuyo. No pidas nada que vaya contra la ley.
    · Tus textos se envían a los proveedores de modelos de lenguaje para hacer el trabajo.
    · Preguntas sobre un pago: /paysupport. Para irte: /delete_my_data.
pay-support =
    <b>Ayuda con un pago</b>
    Los créditos llegan en cuanto se confirma el pago, por lo general en un minuto. Si los tuyos no han llegado, mira primero tu historial; un pago que tarda se busca solo.

    Si no, pregunta a quien lleva este bot, con el día y la cantidad del pago. Puede devolver un pago. El soporte de Telegram no puede ayudar con las compras hechas aquí.
pay-support-with-contact =
    <b>Ayuda con un pago</b>
    Los créditos llegan en cuanto se confirma el pago, por lo general en un minuto. Si los tuyos no han llegado, mira primero tu historial; un pago que tarda se busca solo.

    Si no, escribe a { $contact }, con el día y la cantidad del pago. Puede devolver un pago. El soporte de Telegram no puede ayudar con las compras hechas aquí.
delete-asked =
    <b>¿Borrar todos tus datos?</b>

    Se borra para siempre: { $projects ->
        [0] todo lo que dijiste aquí
        [one] tu proyecto con sus archivos, todo lo que dijiste aquí
       *[other] tus { $projects } proyectos con sus archivos, todo lo que dijiste aquí
    }, tu nombre, tus ajustes y tus claves. El trabajo en curso se detiene. Los créditos que te quedan ({ $credits }) se pierden.

    Se conserva: las cantidades y los días de pagos y cargos, sin tu nombre. Las cuentas hay que guardarlas.

    No se puede deshacer. Descarga antes lo que quieras conservar.
deleted =
    Tus datos están borrados ({ $at } UTC){ $projects ->
        [0] .
        [one] , con un proyecto.
       *[other] , con { $projects } proyectos.
    } Las cantidades y los días de los pagos quedan, sin tu nombre.

    Si algún día quieres volver: /start

## Projects and questions

no-project = Todavía no tienes ningún proyecto. Dime qué necesitas y empiezo.
projects =
    { $count ->
        [one] <b>Tu proyecto</b>
       *[other] <b>Tus { $count } proyectos</b>
    }
projects-row =
    { $title }
    { $status } · { $credits } créditos
projects-current =
    👉 { $title }
    { $status } · { $credits } créditos
project-opened = Ahora hablamos de { $title }. Lo que escribas es sobre él.
project-gathering-requirements = 🔎 entendiendo lo que necesitas
project-planning = 📝 planificando
project-awaiting-approval = 📝 el plan espera tu visto bueno
project-implementing = 🛠 construyendo
project-awaiting-verification = 🛠 probando y revisando
project-awaiting-refinement = ⚠️ necesita una palabra tuya
project-verification-complete = 🛠 todos los pasos hechos, terminando
project-readme-generation = 📖 escribiendo las instrucciones
project-readme-failed = ⚠️ las instrucciones no funcionaron
project-completed = ✅ entregado
project-paused = ⏸ en pausa
project-awaiting-credits = 💳 esperando créditos
project-attention = ⚠️ necesita una palabra tuya
project-cancelled = ⏹ detenido
project-failed = ❌ fallido

question =
    { $total ->
        [one] Una pregunta antes de planificar
       *[other] Pregunta { $number } de { $total }
    }
question-recommended = { $number }. { $option } – <i>recomendado</i>
question-option = { $number }. { $option }
question-hint = Toca una respuesta, o escribe la tuya.
question-hint-without-options = Responde con tus palabras, o déjame decidir.
answered =
    { $question }
    ✅ <b>{ $answer }</b>

## Plans

plan = 📝 <b>El plan para</b> { $title }
plan-stack = <b>Hecho con</b>
plan-part = { $part }: { $choice }
plan-tasks =
    { $count ->
        [one] <b>Un paso</b>
       *[other] <b>{ $count } pasos</b>
    }
plan-price = 💳 <b>De { $low } a { $high } créditos</b>; tienes { $credits }.
plan-price-unknown = 💳 Este plan no tiene precio; tienes { $credits } créditos. Puedes ponerle un límite cuando esté en marcha.
plan-price-enough = Pagas solo lo que se usa.
plan-price-tight = Puede que no alcance para todo. Si se acaban los créditos, todo se conserva y sigue después de una recarga.
plan-price-short = No alcanza para todo. Puedes recargar ahora o empezar: cuando se acaben los créditos, todo se conserva y sigue después de una recarga.
going = ▶️ { $title }: lo estoy construyendo. Aquí verás cuánto va hecho; no hace falta que esperes.
change-plan-asked = ¿Qué debe cambiar en el plan de { $title }? Escríbelo con tus palabras; recibes un plan nuevo y un precio nuevo.
plan-changing = 📝 { $title }: gracias, hago un plan nuevo con eso.
explain-asked = ¿Qué hay que hacer de otra manera en { $title }? Escríbelo con tus palabras; llega directamente a quien trabaja en ello.
remark-noted = ✍️ { $title }: anotado. El siguiente paso del trabajo lo verá.
remark-goes-on = ▶️ { $title }: gracias, sigue con eso.
limit-asked = { $title } ha costado { $credits } créditos hasta ahora. ¿Cuánto puede costar en total? Escribe un número de créditos.
limit-asked-again = { $title } ha costado { $credits } créditos hasta ahora y puede costar { $limit }. ¿Cuánto puede costar en total? Escribe un número de créditos.
limit-unclear = Eso no es un número de créditos. ¿Cuánto puede costar { $title } en total? Escribe un número, como 50 o 12.50.
limit-set = { $title } puede costar ahora { $limit } créditos en total.
limit-lifted = { $title } ya no tiene un límite propio; se detiene cuando se acaben tus créditos.
cancel-asked =
    ¿Detener { $title } del todo? Ha costado { $credits } créditos hasta ahora.

    Lo que está terminado se puede descargar, pero el trabajo no se puede retomar. Para parar un rato, ponlo en pausa.
cancel-refinement-asked =
    ¿Detener este cambio en { $title }? El proyecto queda como se entregó, y puedes pedir otro cambio cuando quieras.
cancelled = ⏹ { $title } está detenido. Lo que se terminó se conserva: puedes descargarlo.
cancelled-empty = ⏹ { $title } está detenido. Todavía no se había terminado nada, así que no hay nada que descargar.
cancelled-refinement = ⏹ El cambio en { $title } está detenido. El proyecto está como se entregó.
going-on = ▶️ { $title } sigue desde donde se detuvo.

## The status message

phase-gather = 🔎 Entendiendo lo que necesitas
phase-plan = 📝 Planificando
phase-approve = 📝 Preparando la construcción
phase-implement = 🛠 Construyendo
phase-readme = 📖 Escribiendo y probando las instrucciones
phase-package = 📦 Empaquetando
phase-finished = 📦 Terminando
state-waiting = ❓ Espera tus respuestas
state-waiting-go = 📝 El plan espera tu visto bueno
state-refinement = ⚠️ Atascado: necesita una palabra tuya
state-paused = ⏸ En pausa
state-credits = 💳 Espera créditos
state-attention = ⚠️ Detenido: necesita una palabra tuya
state-done = ✅ Entregado
state-failed = ❌ Fallido
state-cancelled = ⏹ Detenido del todo
status-begun = Lo estoy leyendo. Si algo no está claro, pregunto; si no, lo siguiente es el plan.
status-tasks =
    { $total ->
        [one] { $done } de 1 paso hecho
       *[other] { $done } de { $total } pasos hechos
    }
status-doing = Ahora: { $doing }
status-task = <b>{ $task }</b> { $title }: { $doing }
status-attempt =
    { $attempt ->
        [1] con { $model }
       *[other] intento { $attempt }, con { $model }
    }
status-model = con { $model }
status-latest = <i>{ $event }</i>
status-checks =
    { $count ->
        [one] ✔️ 1 comprobación superada
       *[other] ✔️ { $count } comprobaciones superadas
    }
status-spent = 💳 { $credits } créditos
status-spent-of = 💳 { $credits } de como mucho { $quote } créditos
status-elapsed = ⏱ { $time }
details-no-tasks = Los pasos llegan con el plan.
details-unchecked = ☑️ escrito y revisado, pero no se pudo probar aquí
details-dropped = ➖ abandonado; nada de ello está en el proyecto
doing-gather = leyendo lo que escribiste
doing-plan = planificando los pasos
doing-implement = escribiéndolo
doing-check = probándolo
doing-verify = revisándolo
doing-commit = poniéndolo en su sitio
doing-readme = escribiendo las instrucciones
doing-check-readme = probando las instrucciones
doing-commit-readme = poniendo las instrucciones en su sitio
doing-package = empaquetándolo para ti
duration-seconds = { $seconds } s
duration-minutes = { $minutes } min
duration-hours = { $hours } h { $minutes } min
and-more = … y { $count } más

latest-implemented =
    { $files ->
        [one] { $task }: ha escrito un archivo
       *[other] { $task }: ha escrito { $files } archivos
    }
latest-unusable = una respuesta no se pudo usar; se ha vuelto a preguntar
latest-repeated = { $task }: otra vez el mismo intento; se busca otro camino
latest-escalated = { $task }: se encarga un modelo más potente ({ $model })
latest-passed =
    { $checks ->
        [one] { $task }: comprobación superada
       *[other] { $task }: las { $checks } comprobaciones superadas
    }{ $tests ->
        [0] {""}
        [one] , con 1 prueba
       *[other] , con { $tests } pruebas
    }
latest-failed = { $task }: falló una comprobación, se está reparando ({ $reason })
latest-not-executed = { $task }: no se pudo probar aquí ({ $reason })
latest-approved = { $task }: la revisión es buena
latest-rejected = { $task }: la revisión pide un cambio: { $feedback }
latest-done = { $task } está hecho: { $title }, { $credits } créditos
latest-unchecked = { $task } está escrito, pero sin probar: { $title }, { $credits } créditos
latest-clear = todo claro, sin preguntas
latest-asked =
    { $count ->
        [one] una pregunta para ti
       *[other] { $count } preguntas para ti
    }
latest-planned =
    { $tasks ->
        [one] planificado en un paso
       *[other] planificado en { $tasks } pasos
    }
latest-go = diste el visto bueno
latest-dropped = abandonado: { $tasks }
latest-readme-written = las instrucciones están escritas
latest-readme = las instrucciones se probaron y funcionan
latest-readme-unchecked = las instrucciones están escritas, pero sin probar
latest-provider = el proveedor de los modelos está ocupado; otra vez en { $wait }
latest-provider-next = el proveedor de los modelos está ocupado; se pregunta a { $model }
latest-in-line =
    { $count ->
        [one] en cola: se trabaja en uno de tus proyectos a la vez
       *[other] en cola: se trabaja en { $count } de tus proyectos a la vez
    }
latest-refines = cambiando { $path }
latest-resumed = sigue
latest-delivered =
    { $files ->
        [one] empaquetado: 1 archivo
       *[other] empaquetado: { $files } archivos
    }

## News and stops

rejected =
    🔁 { $title }: la revisión ha devuelto <b>{ $task }</b>, y se está reparando.
    { $feedback }
    No tienes que hacer nada. Si hay un malentendido, acláralo.
escalated = 💪 { $title }: <b>{ $task }</b> es difícil, así que se encarga un modelo más potente ({ $model }).
dropped =
    { $title } sigue sin:
    { $tasks }
refinement-started = 🛠 { $title }: cambiando { $path }. Recibes una entrega nueva cuando esté probado y revisado.
provider-trouble = ⏳ { $title }: el proveedor de los modelos no responde. Lo intento otra vez en { $wait }; no se pierde nada, y esperar no cuesta nada.
in-line =
    { $count ->
        [one] ⏳ { $title } está en cola: se trabaja en uno de tus proyectos a la vez. Empieza solo.
       *[other] ⏳ { $title } está en cola: se trabaja en { $count } de tus proyectos a la vez. Empieza solo.
    }
stopped =
    { $title }
    { $why }
stop-task-stuck = ⚠️ Un paso falla una y otra vez, con todos los modelos. He parado antes que gastar más créditos tuyos en él.
stop-going-in-circles = ⚠️ Un paso da vueltas: los mismos intentos, los mismos fallos. He parado antes de que te costara más.
stop-too-many-attempts = ⚠️ Un paso se ha intentado tantas veces como se puede sin preguntarte.
stop-paused = ⏸ En pausa, como pediste. Todo se conserva.
stop-out-of-credits = 💳 Tus créditos no alcanzan para el siguiente paso. Todo lo hecho se conserva.
stop-out-of-credits-needed = 💳 El siguiente paso puede necesitar hasta { $needed } créditos, y tienes { $credits }. Todo lo hecho se conserva.
stop-in-debt = 💳 Tu cuenta está { $credits } créditos por debajo de cero, así que no se empieza nada. Todo lo hecho se conserva.
stop-project-limit = 💳 El límite de este proyecto no alcanza para el siguiente paso. Todo lo hecho se conserva.
stop-project-limit-needed = 💳 El siguiente paso puede necesitar hasta { $needed } créditos, más de lo que deja el límite de este proyecto. Todo lo hecho se conserva.
stop-provider = ⚠️ El proveedor de los modelos lleva un rato fallando. Todo lo hecho se conserva.
stop-configuration = ⚠️ Algo no está configurado aquí como debería. Solo quien lleva este bot puede arreglarlo; todo lo hecho se conserva.
stop-unusable-replies = ⚠️ El modelo no dio una respuesta utilizable, varias veces seguidas. Todo lo hecho se conserva.
stop-readme-failed = ⚠️ El proyecto está construido, pero sus instrucciones no funcionaron al probarlas.
stop-working-time = ⏱ Ha trabajado todo lo que puede sin preguntarte. Todo lo hecho se conserva.
stop-too-many-steps = ⏱ Ha dado tantos pasos como puede sin preguntarte. Todo lo hecho se conserva.
stop-crashes = ⚠️ El mismo paso se ha interrumpido varias veces seguidas. Todo lo hecho se conserva, y no se ha cobrado nada por él.
stop-defect = ⚠️ Algo ha ido mal por nuestra parte. Todo lo hecho se conserva, y no se ha cobrado nada por este paso.
hint-task-stuck = Muchas veces lo que más ayuda es una palabra tuya: di qué importa o qué se puede dejar. Otra vez significa dos intentos más con el modelo más potente.
hint-going-in-circles = Muchas veces lo que más ayuda es una palabra tuya: di qué importa o qué se puede dejar. Otra vez significa dos intentos más con el modelo más potente.
hint-too-many-attempts = Puedes dejar que lo intente otras tantas veces, o aclarar qué hacer de otra manera.
hint-paused = Sigue desde el mismo sitio cuando quieras.
hint-out-of-credits = Después de una recarga sigue solo.
hint-nothing-for-sale = Aquí no se pueden comprar créditos: pide más a quien lleva este bot. Cuando lleguen, sigue solo.
hint-project-limit = Sube el límite, o quítalo, y sigue solo.
hint-provider = Inténtalo otra vez en unos minutos. Lo que falló no se cobró.
hint-configuration = Avísale, por favor; después inténtalo otra vez.
hint-unusable-replies = Preguntar una vez más suele ayudar. Las respuestas repetidas no se cobraron.
hint-readme-failed = Pueden escribirse de nuevo, puedes decir qué está mal, o llevarte el proyecto como está.
hint-working-time = Sigue para que trabaje otro tanto, o di qué hacer de otra manera.
hint-too-many-steps = Sigue para que dé otros tantos pasos, o di qué hacer de otra manera.
hint-crashes = Puedes intentarlo otra vez. Si se interrumpe de nuevo, avisa a quien lleva este bot.
hint-defect = Puedes intentarlo otra vez. Si vuelve a pasar, enseña lo de arriba a quien lleva este bot.
## Deliveries

delivered = ✅ { $title } está listo.
delivered-refinement = ✅ { $title }: el cambio está hecho.
delivered-files =
    { $files ->
        [one] 1 archivo, { $size }
       *[other] { $files } archivos, { $size }
    }
delivered-checks =
    { $count ->
        [one] ✔️ Se ejecutó 1 comprobación, y se superó
       *[other] ✔️ Se ejecutaron { $count } comprobaciones, y se superaron
    }
delivered-unchecked =
    { $count ->
        [one] ☑️ 1 paso está escrito y revisado, pero no se pudo probar aquí: pruébalo tú
       *[other] ☑️ { $count } pasos están escritos y revisados, pero no se pudieron probar aquí: pruébalos tú
    }
delivered-run =
    <b>Cómo se ejecuta</b>
    { $commands }
delivered-see-readme = Cómo se usa está escrito en README.md.
delivered-cost = 💳 { $credits } créditos · ⏱ { $time }
delivered-cost-of = 💳 { $credits } créditos (se anunciaron como mucho { $quote }) · ⏱ { $time }
delivered-next = Pruébalo y dime qué cambiar: toca el botón, o escribe qué archivo y qué.
size-kilobytes = { $size } kB
size-megabytes = { $size } MB
receipt = 🧾 <b>Lo que costó</b> { $title }
receipt-row =
    { $calls ->
        [one] { $part }: <b>{ $credits }</b> (1 respuesta)
       *[other] { $part }: <b>{ $credits }</b> ({ $calls } respuestas)
    }
receipt-total = En total: <b>{ $credits } créditos</b>
receipt-free =
    { $count ->
        [one] 1 respuesta falló y no se cobró.
       *[other] { $count } respuestas fallaron y no se cobraron.
    }
receipt-exact = Aquí las cantidades están redondeadas; RECEIPT.md, en el zip, las tiene exactas.
receipt-empty = { $title } no ha costado nada todavía.
change-which =
    { $count ->
        [one] <b>¿Qué cambio en</b> { $title }<b>?</b> Tiene un archivo; tócalo y di qué cambiar.
       *[other] <b>¿Qué cambio en</b> { $title }<b>?</b> Tiene { $count } archivos; toca uno y di qué cambiar.
    }

    O por escrito:
    { $form }
change-asked = ¿Qué debe cambiar en { $path } de { $title }? Escríbelo con tus palabras.
change-nothing = { $title } todavía no tiene archivos. Cuando esté entregado, puedes hacer cambiar cualquiera.
change-list-old = Los archivos de { $title } han cambiado desde que se hizo esa lista. Elige otra vez:
archive-so-far =
    { $files ->
        [one] { $title } hasta ahora: 1 archivo, { $size }. Todavía no está terminado.
       *[other] { $title } hasta ahora: { $files } archivos, { $size }. Todavía no está terminado.
    }
archive-again = 📦 { $title }, como se entregó.
archive-empty = { $title } todavía no tiene nada que descargar: los archivos llegan con el primer paso terminado.
archive-too-large = <b>{ $name }</b> ({ $size }) es demasiado grande para Telegram, y esta instalación no tiene una página para él. Se conserva; quien lleva este bot puede dártelo.

## Credits and payments

credits = 💳 Tienes <b>{ $credits } créditos</b>.
credits-in-debt = 💳 Tu cuenta está <b>{ $credits } créditos por debajo de cero</b>, porque se devolvió un pago. No se empieza nada hasta que esté a cero.
credits-held = { $credits } más están apartados para el trabajo en curso; lo que no se use vuelve:
credits-held-row = · { $credits } para { $title }
credits-waiting =
    { $count ->
        [one] Un proyecto espera créditos:
       *[other] { $count } proyectos esperan créditos:
    }
credits-waiting-row = · { $title } necesita { $credits }
history = <b>Tus créditos, lo último primero</b>
history-row = { $at } · { $what } <b>{ $credits }</b> → { $balance }
history-note = Las horas son UTC.
history-empty = Todavía no se ha movido nada en tu cuenta.
moved-initial-grant = primeros créditos
moved-purchase = comprado
moved-usage-deduction = usado
moved-refund-clawback = retirado, pago devuelto
moved-dispute-clawback = retirado, pago disputado
moved-dispute-reinstated = repuesto, disputa ganada
moved-adjustment = ajustado
moved-expiry = caducado
moved-other = movido
packages =
    Tienes { $credits } créditos. Elige un paquete; los créditos llegan en cuanto se paga, y los proyectos que los esperan siguen solos.
nothing-for-sale = Tienes { $credits } créditos. Aquí no se pueden comprar: pide más a quien lleva este bot.
invoice-title = { $credits } créditos
invoice-description = { $credits } créditos para construir software con este bot.
card-page = { $credits } créditos por { $price }: paga en esta página y llegan solos.
paid = ✅ Gracias: { $price } pagado, <b>{ $credits } créditos</b> añadidos. Tienes { $available }.
paid-goes-on =
    { $count ->
        [one] Este proyecto sigue:
       *[other] Estos proyectos siguen:
    }
paid-not-as-ordered = Ha llegado un pago tuyo, pero no como se pidió, así que todavía no se han añadido créditos. Está registrado y se mirará: /paysupport
refused-unknown-order = Esta factura ya no se conoce aquí. Manda /buy para una nueva.
refused-not-yours = Esta factura es de otra persona. Manda /buy para una tuya.
refused-already-paid = Esta factura ya está pagada. Manda /buy para una nueva.
refused-price-changed = El precio ha cambiado desde entonces. Manda /buy para una factura nueva.
refused-not-allowed = Tu cuenta no puede comprar aquí ahora. Mira /paysupport.
refused-not-now = Ahora mismo no se pueden recibir pagos. No se ha cobrado nada; inténtalo otra vez en unos minutos.

## When something does not work

something-went-wrong =
    Algo ha ido mal por nuestra parte y no he podido hacerlo. No se ha perdido nada y no se ha cobrado nada por ello. Inténtalo otra vez; si sigue igual, dale a quien lleva este bot este número: { $id }
message-set-aside =
    Lo he intentado varias veces, pero no he podido atender tu último mensaje. Tus proyectos no se han tocado. Dilo de otra manera; quien lleva este bot encuentra lo que pasó con { $id }
error-unknown-project = No hay tal proyecto entre los tuyos. Tus proyectos están en /projects.
error-project-not-found = No hay tal proyecto entre los tuyos. Tus proyectos están en /projects.
error-empty-brief = Todavía no dice nada. Cuenta en unas frases qué quieres que construya.
error-brief-too-long = Es más largo de lo que puedo leer de una vez: caben como mucho { $most } bytes. Deja lo que el software debe hacer y quita los ejemplos de datos. No se ha empezado nada.
error-unclear-form =
    Para cambiar un archivo de un proyecto, escríbelo así, o manda /refine y toca el archivo:
    <code>refine file PATH in project ID with instruction: TEXT</code>
    No se ha empezado nada.
error-empty-instruction = Di en una o dos frases qué debe cambiar en el archivo. No se ha empezado nada.
error-instruction-too-long = Es más de lo que cabe en un cambio: como mucho { $most } caracteres. Pide un cambio cada vez. No se ha empezado nada.
error-unknown-file = No hay ningún archivo así en el proyecto. <i>{ $said }</i>
error-file-too-large = Ese archivo es demasiado grande para cambiarlo aquí: caben como mucho { $most } bytes. Elige uno más pequeño.
error-insufficient-credits = Tus créditos no alcanzan para empezar esto. No se ha empezado nada y no se pierde nada: recarga y pídelo otra vez.
error-insufficient-credits-needed = Esto necesita al menos { $needed } créditos, y tienes { $available }. No se ha empezado nada y no se pierde nada: recarga y pídelo otra vez.
error-project-limit-reached = El límite de este proyecto no deja bastante para el siguiente paso. Súbelo y el trabajo sigue. No se pierde nada.
error-not-delivered = Solo se puede cambiar archivo por archivo un proyecto entregado. Mientras se construye, escribe sin más lo que quieres: quien trabaja en él lo verá.
error-cannot-drop = Ese paso no se puede dejar ahora. <i>{ $said }</i>
error-nothing-to-do = Eso no encaja con lo que hace el proyecto ahora. <i>{ $said }</i>
error-project-paused = El proyecto está en pausa. Primero haz que siga.
error-project-cancelled = El proyecto está detenido del todo. Puedes empezar uno nuevo.
error-invalid-limit = Ese límite no vale. <i>{ $said }</i>
error-account-inactive = Tu cuenta está cerrada. Pregunta a quien lleva este bot.
error-account-not-active = Tu cuenta está suspendida y no puede entrar. Pregunta a quien lleva este bot.
error-unknown-package = Ese paquete ya no existe. Elige otra vez.
error-payments-off = Aquí no se pueden comprar créditos. Pregunta a quien lleva este bot.
error-payment-gateway-unavailable = El servicio de pagos no responde ahora mismo. No se ha cobrado nada; inténtalo otra vez en unos minutos.
error-payment-gateway-refused = El servicio de pagos lo ha rechazado. No se ha cobrado nada; prueba otra forma de pago, o mira /paysupport.
error-unknown-order = Ese pedido no se conoce aquí. Empieza de nuevo.
error-too-many-orders = Has empezado muchos pagos en poco tiempo. Termina uno de ellos, o inténtalo más tarde.
error-no-telegram-account = Tu cuenta no está unida a Telegram, así que no se pueden usar Stars para ella.
error-illegal-move = Eso no encaja con lo que hace el proyecto ahora. <i>{ $said }</i>
error-storage-unavailable = Ahora mismo no se puede llegar a los archivos. Se conservan; inténtalo otra vez en unos minutos.

## Operators

granted = { $name } ha recibido { $credits } créditos y tiene ahora { $available }.
given = 🎁 Has recibido <b>{ $credits } créditos</b>. Tienes { $available }.
grant-how = Escribe a quién y cuánto, con el número de Telegram o @nombre: { $form }
grant-nobody = No hay ninguna cuenta { $name }. Tiene que haber mandado /start una vez.
free-credits-used-up = Los créditos gratuitos de hoy ya están repartidos. Puedes comprar ahora, o volver mañana.
stats-people = 👥 { $people } personas, { $today } nuevas hoy
stats-projects = 📁 { $projects } proyectos, { $delivered } entregados
stats-idle = No hay nada en curso.
stats-ready = { $count } en marcha, o a punto
stats-waiting = { $count } a la espera de respuestas o de un visto bueno
stats-refinement = { $count } atascados en un paso
stats-paused = { $count } en pausa
stats-credits = { $count } a la espera de créditos
stats-attention = { $count } detenidos, piden atención
stats-done = { $count } entregados
stats-failed = { $count } fallidos
stats-cancelled = { $count } detenidos del todo
stats-money = 💳 hoy: { $used } créditos usados, { $bought } comprados
stats-free = 🎁 hoy: { $credits } dados a recién llegados
stats-free-of = 🎁 hoy: { $credits } de como mucho { $most } dados a recién llegados

## Buttons

button-new = ➕ Proyecto nuevo
button-projects = 📁 Proyectos
button-project = { $title }
button-credits = 💳 Créditos
button-history = 📜 Historial
button-help = ❔ Ayuda
button-settings = ⚙️ Ajustes
button-private-chat = 🔒 Ir al chat privado
button-language = 🌐 Idioma
button-begin-anyway = Empezar con eso
button-it-is-new = Es un proyecto nuevo
button-never-mind = Déjalo
button-newer = ◀️ Más nuevos
button-older = Más antiguos ▶️
button-earlier = ◀️ Atrás
button-later = Más ▶️
button-recommended = { $number }. { $option } ✓
button-option = { $number }. { $option }
button-decide = 🎲 Decide tú
button-decide-all = Decide tú el resto
button-build = ▶️ Construir
button-change-plan = ✏️ Cambiarlo
button-top-up = 💳 Recargar
button-cancel = ✖️ Cancelar
button-cancel-for-good = ⏹ Parar del todo
button-keep-going = Dejarlo como está
button-pause = ⏸ Pausa
button-resume = ▶️ Seguir
button-stop = ⏹ Parar
button-details = 🔍 Detalles
button-status = 📊 Estado
button-try-again = 🔁 Otra vez
button-stronger = 💪 Más potente ({ $model })
button-explain = ✍️ Aclararlo
button-drop = ➖ Seguir sin él
button-raise-limit = Subir el límite
button-lift-limit = Sin límite
button-as-much-again = ▶️ Otro tanto
button-take-as-is = 📦 Llevármelo así
button-download = ⬇️ Descargar
button-receipt = 🧾 Recibo
button-change-it = ✏️ Cambiar algo
button-file = { $path }
button-buy-stars = { $credits } créditos · ⭐ { $stars }
button-buy-card = { $credits } créditos · { $price }
button-pay = Pagar { $price }
button-delete-my-data = 🗑 Borrar mis datos
button-delete-for-good = 🗑 Borrarlo todo
button-keep-my-data = Conservar mis datos

## Answers to buttons

answer-noted = Anotado.
answer-building = Lo construyo.
answer-pausing = En pausa: se detiene en unos segundos.
answer-stopping = Parando: tarda unos segundos.
answer-going-on = Sigue.
answer-packing = Lo empaqueto para ti…
answer-out-of-date = Ese botón ya no vale; el mensaje más reciente muestra cómo está ahora.
answer-already-answered = Eso ya está respondido.
answer-not-yours = Eso no es tuyo.
answer-unknown = Ese botón ya no significa nada aquí.
answer-went-wrong = Algo ha ido mal por nuestra parte. Inténtalo otra vez.
answer-error = { $said }

## Commands, for Telegram's menu

command-new = Empezar un proyecto nuevo
command-projects = Ver tus proyectos
command-status = Ver cuánto va hecho
command-credits = Ver tus créditos
command-buy = Conseguir más créditos
command-history = Ver en qué se fueron tus créditos
command-pause = Parar un rato
command-resume = Seguir
command-cancel = Parar del todo
command-download = Recibir los archivos hasta ahora
command-refine = Cambiar un archivo de un proyecto terminado
command-login = Recibir un código para entrar
command-settings = El idioma y tus datos
command-language = Elegir un idioma
command-help = Ver cómo funciona
command-terms = Leer las condiciones
command-paysupport = Ayuda con un pago
command-delete-my-data = Borrar todo sobre ti
